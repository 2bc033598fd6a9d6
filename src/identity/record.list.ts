import { isId, LIMITS, pageOfSeen, RekeyError } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import type { IdentityKind } from './model.ts'
import { type ListFilter, pageIds } from './record.list.store.ts'
import {
  type IdentityDetail,
  type IdentityRecord,
  type IdentityStatus,
  type Labels,
  type OwnerState,
  recoveryClassOf,
} from './record.model.ts'
import { COLUMNS, entitlementsOf, externalIdsOf, type Row } from './record.store.ts'
import { teamsAbove, teamsWithPeople } from './team.store.ts'

/** Which identities a page shows; all that are given must hold. */
export interface IdentityFilter {
  readonly kind?: IdentityKind
  readonly status?: IdentityStatus
  /** Id or name of a person or a team; or the text of an owner that names nobody. */
  readonly owner?: string
  /** Id or name of a team: its members, through any depth of nesting. */
  readonly team?: string
  readonly environment?: string
  readonly tenancy?: string
  readonly source?: string
  /** Names that begin so, in this case. */
  readonly prefix?: string
  readonly label?: { readonly key: string; readonly value: string }
}

/** A page: what follows the name `after`, at most `limit` (1 to `LIMITS.pageMax`). */
export interface NamePage {
  readonly after?: string
  readonly limit: number
}

/** Identities by name in code point order. Empty for an owner or a team that does not exist. */
export async function listIdentities(sql: Sql, filter: IdentityFilter, page: NamePage): Promise<IdentityRecord[]> {
  const keys = await resolve(sql, filter)
  if (keys === null) return []
  const limit = Math.max(1, Math.min(page.limit, LIMITS.pageMax + 1))
  const ids = await pageIds(sql, keys, { after: page.after ?? null, limit })
  return recordsOf(sql, ids)
}

/** What of an identity decides who may see it. */
export interface LightRow {
  readonly id: string
  readonly name: string
  readonly kind: IdentityKind
  readonly environment: string
  readonly ownerId: string | null
}

/** The columns of a `LightRow`, of the table `identity`. */
export const LIGHT = 'id, name, kind, environment, coalesce(owner_team_id, owner_identity_id) as "ownerId"'

/** As `listIdentities`, of those that `isMine` says may be seen; the others are read no further than that needs. */
export async function identitiesSeen(
  sql: Sql,
  filter: IdentityFilter,
  page: NamePage,
  isMine: (row: LightRow) => boolean,
): Promise<{ readonly items: IdentityRecord[]; readonly next: string | null }> {
  const keys = await resolve(sql, filter)
  if (keys === null) return { items: [], next: null }
  const limit = Math.max(1, Math.min(page.limit, LIMITS.pageMax))
  const { items, next } = await pageOfSeen<LightRow>(
    { after: page.after ?? null, limit },
    {
      read: async (after, count) => {
        const ids = await pageIds(sql, keys, { after, limit: count })
        return sql.query(`select ${LIGHT} from identity where id = any($1::uuid[]) order by name`, [ids])
      },
      cursorOf: ({ name }) => name,
      mine: (found) => found.filter(isMine),
    },
  )
  const ids = items.map(({ id }) => id)
  return { items: await recordsOf(sql, ids), next }
}

/**
 * What decides who may see the identity of this id or name; null if there is none. One question either way, so that the time of an answer
 * does not tell what is there from what is not.
 */
export async function lightIdentity(sql: Sql, idOrName: string): Promise<LightRow | null> {
  const [row] = await sql.query<LightRow>(
    `select ${LIGHT} from identity where id = $1::uuid or name = $2 order by id = $1::uuid desc nulls last limit 1`,
    [isId(idOrName) ? idOrName : null, idOrName],
  )
  return row ?? null
}

/** What decides who may see these identities, by id. One that does not exist is not in the map. */
export async function lightIdentities(sql: Sql, ids: readonly string[]): Promise<Map<string, LightRow>> {
  if (ids.length === 0) return new Map()
  const found = await sql.query<LightRow>(`select ${LIGHT} from identity where id = any($1::uuid[])`, [ids])
  return new Map(found.map((row) => [row.id, row]))
}

/** Names become keys first, so that the page itself is read from one index. Null: nothing can match. */
async function resolve(sql: Sql, { owner, team, ...rest }: IdentityFilter): Promise<ListFilter | null> {
  const owners = owner === undefined ? undefined : await ownerKeys(sql, owner)
  const teams = team === undefined ? undefined : await teamIds(sql, team)
  if (owners?.length === 0 || teams?.length === 0) return null
  return { ...rest, ...(owners && { owners }), ...(teams && { teams }) }
}

async function ownerKeys(sql: Sql, owner: string): Promise<string[]> {
  if (isId(owner)) return [`person:${owner}`, `team:${owner}`]
  const rows = await sql.query<{ key: string }>(
    `select 'team:' || id::text as key from team where name = $1
     union all select 'person:' || id::text from identity where name = $1 and kind = 'human'`,
    [owner],
  )
  return [...rows.map(({ key }) => key), `name:${owner}`]
}

/** The team and all that are nested in it. */
async function teamIds(sql: Sql, team: string): Promise<string[]> {
  const rows = await sql.query<{ id: string }>(
    `with recursive below(id) as (
       select id from team where ${isId(team) ? 'id = $1' : 'name = $1'}
       union
       select n.child_id from team_nesting n join below b on n.parent_id = b.id)
     select id from below`,
    [team],
  )
  return rows.map(({ id }) => id)
}

type Shown = Row & {
  readonly owner_name: string | null
  readonly owner_status: IdentityStatus | null
  readonly manager_name: string | null
  readonly labels: Labels | null
  readonly created_at: Date
  readonly changed_at: Date
  readonly revision: number
}

const SHOWN = `
  select ${COLUMNS.replaceAll(/\w+/g, 'i.$&')}, i.created_at, i.changed_at, i.revision, coalesce(t.name, o.name) as owner_name,
         o.status as owner_status, m.name as manager_name,
         (select jsonb_object_agg(l.key, l.value) from identity_label l where l.identity_id = i.id) as labels
    from identity i
    left join identity o on o.id = i.owner_identity_id
    left join team t on t.id = i.owner_team_id
    left join identity m on m.id = i.manager_id`

/** The records with these ids, by name. */
export async function recordsOf(sql: Sql, ids: readonly string[]): Promise<IdentityRecord[]> {
  if (ids.length === 0) return []
  const rows = await sql.query<Shown>(`${SHOWN} where i.id = any($1::uuid[]) order by i.name`, [ids])
  const peopled = await teamsWithPeople(sql, [...new Set(rows.flatMap((row) => row.owner_team_id ?? []))])
  return rows.map((row) => recordOf(row, peopled))
}

function recordOf(row: Shown, peopled: ReadonlySet<string>): IdentityRecord {
  return {
    id: row.id,
    name: row.name,
    kind: row.kind,
    owner: row.owner_name ?? row.owner,
    purpose: row.purpose,
    environment: row.environment,
    status: row.status,
    tenancy: row.tenancy,
    source: row.source,
    recoveryClass: recoveryClassOf(row.kind, row.recovery_class),
    ownerId: row.owner_team_id ?? row.owner_identity_id,
    ownerState: ownerState(row, peopled),
    manager: row.manager_id,
    labels: row.labels ?? {},
    createdAt: row.created_at,
    changedAt: row.changed_at,
    revision: row.revision,
  }
}

function ownerState({ owner_team_id, owner_status }: Shown, peopled: ReadonlySet<string>): OwnerState {
  if (owner_team_id !== null) return peopled.has(owner_team_id) ? 'team' : 'team_without_people'
  if (owner_status === null) return 'unresolved'
  return owner_status === 'active' ? 'person' : 'person_suspended'
}

/** One identity by id or by name; null if there is none. */
export async function findIdentity(sql: Sql, idOrName: string): Promise<IdentityDetail | null> {
  const [row] = isId(idOrName) ? await sql.query<Shown>(`${SHOWN} where i.id = $1`, [idOrName]) : []
  // Names of fleet files may have the form of an id.
  const [found] = row === undefined ? await sql.query<Shown>(`${SHOWN} where i.name = $1`, [idOrName]) : [row]
  if (found === undefined) return null
  const peopled = await teamsWithPeople(sql, found.owner_team_id === null ? [] : [found.owner_team_id])
  return {
    ...recordOf(found, peopled),
    recoveryClassReason: found.recovery_class_reason,
    managerName: found.manager_name,
    ial: found.ial === null || found.ial_source === null || found.ial_at === null ? null : ialOf(found.ial, found.ial_source, found.ial_at),
    leftAt: found.left_at,
    externalIds: await externalIdsOf(sql, found.id),
    entitlements: await entitlementsOf(sql, found.id),
    teams: await teamsAbove(sql, found.id),
  }
}

const ialOf = (level: 1 | 2 | 3, source: string, at: Date) => ({ level, source, at })

/** The same, or throws `not_found`. */
export async function identityNamed(sql: Sql, idOrName: string): Promise<IdentityDetail> {
  const found = await findIdentity(sql, idOrName)
  if (found === null) throw new RekeyError('not_found', `No such identity: ${idOrName}`, { hint: 'See rekey identity list.' })
  return found
}

/** The id of the identity that a source knows by this id; null if there is none. */
export async function identityByExternalId(sql: Sql, source: string, externalId: string): Promise<string | null> {
  const [row] = await sql.query<{ id: string }>('select identity_id as id from identity_external where source = $1 and external_id = $2', [
    source,
    externalId,
  ])
  return row?.id ?? null
}
