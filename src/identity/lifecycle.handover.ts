import { append } from '../evidence/index.ts'
import { type Ctx, LIMITS, newId } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { ownersOf, rememberOwners } from './behind.former.ts'
import { identityEvent } from './lifecycle.owners.ts'
import type { OwnerRef } from './record.model.ts'
import { ownerColumns, personById, type Row } from './record.store.ts'
import { SECURITY_CONTACT, type Team } from './team.model.ts'
import { parentThatRemains, teamById, teamsWithPeople, teamThatRemains } from './team.store.ts'

/** Why something changed hands by itself. */
export type HandoverCause = 'left' | 'offboarded' | 'moved' | 'removed' | 'team_removed' | 'team_emptied'
/** Which rule found the new owner. */
export type HandoverRule = 'manager' | 'team' | 'owner_of_owner' | 'parent_team' | 'same_name_team' | 'security_contact'

/** Something that changed hands because its owner went. Open until somebody names an owner by hand. */
export interface Handover {
  readonly id: string
  readonly identity: string
  readonly identityName: string
  readonly from: OwnerRef & { readonly name: string }
  readonly to: OwnerRef & { readonly name: string }
  readonly rule: HandoverRule
  readonly cause: HandoverCause
  readonly at: Date
}

/** Who takes over, and by which rule. */
export interface Heir {
  readonly owner: OwnerRef
  readonly name: string
  readonly rule: HandoverRule
}

/** Who takes over from a person: manager, else a team that still has people, else the person's own owner, else the security contact. */
export async function heirOf(tx: Sql, leaver: Row): Promise<Heir> {
  const manager = leaver.manager_id === null ? null : await personById(tx, leaver.manager_id)
  if (manager?.status === 'active') return { owner: { kind: 'person', id: manager.id }, name: manager.name, rule: 'manager' }
  const team = await teamThatRemains(tx, leaver.id)
  if (team !== null) return { owner: { kind: 'team', id: team.id }, name: team.name, rule: 'team' }
  return (await ownersHeir(tx, leaver)) ?? securityHeir(tx)
}

async function ownersHeir(tx: Sql, { id, owner_identity_id, owner_team_id }: Row): Promise<Heir | null> {
  if (owner_identity_id !== null && owner_identity_id !== id) {
    const person = await personById(tx, owner_identity_id)
    if (person?.status === 'active') return { owner: { kind: 'person', id: person.id }, name: person.name, rule: 'owner_of_owner' }
  }
  if (owner_team_id === null || !(await teamsWithPeople(tx, [owner_team_id], id)).has(owner_team_id)) return null
  const team = await teamById(tx, owner_team_id)
  return team && { owner: { kind: 'team', id: team.id }, name: team.name, rule: 'owner_of_owner' }
}

export async function securityHeir(tx: Sql): Promise<Heir> {
  const team = await teamById(tx, SECURITY_CONTACT)
  return { owner: { kind: 'team', id: SECURITY_CONTACT }, name: team?.name ?? 'security-contact', rule: 'security_contact' }
}

/** Hands over all that a person owns, or with `tenancy` all but the person there. The caller holds the record alone. */
export async function handOverPerson(tx: Tx, ctx: Ctx, leaver: Row, cause: HandoverCause, tenancy: string | null = null): Promise<number> {
  return handOver(tx, ctx, { owner: { kind: 'person', id: leaver.id }, name: leaver.name }, await heirOf(tx, leaver), cause, tenancy)
}

/** Hands over all that a team owns. The caller holds the record alone. */
export async function handOverTeam(tx: Tx, ctx: Ctx, team: Team): Promise<number> {
  const around = await parentThatRemains(tx, team.id)
  const heir: Heir =
    around === null ? await securityHeir(tx) : { owner: { kind: 'team', id: around.id }, name: around.name, rule: 'parent_team' }
  return handOver(tx, ctx, { owner: { kind: 'team', id: team.id }, name: team.name }, heir, 'team_removed', null)
}

type From = Pick<Heir, 'owner' | 'name'>

export async function handOver(tx: Tx, ctx: Ctx, from: From, heir: Heir, cause: HandoverCause, tenancy: string | null): Promise<number> {
  const to = ownerColumns(heir.owner)
  await rememberOwners(tx, ctx, await ownersOf(tx, { owner: from.owner.id }))
  const taken = await tx.query<Pick<Row, 'id' | 'name'>>(
    `update identity set owner_identity_id = $2, owner_team_id = $3, revision = revision + 1, changed_at = now()
      where owner_key = $1 and ($4::text is null or (tenancy = $4 and id <> $5::uuid)) returning id, name`,
    [`${from.owner.kind}:${from.owner.id}`, to.owner_identity_id, to.owner_team_id, tenancy, from.owner.id],
  )
  await recordHandovers(tx, ctx, taken, from, heir, cause)
  return taken.length
}

/** The rows that show as findings, and the events. */
export async function recordHandovers(
  tx: Tx,
  ctx: Ctx,
  taken: readonly Pick<Row, 'id' | 'name'>[],
  from: From,
  heir: Heir,
  cause: HandoverCause,
): Promise<void> {
  if (taken.length === 0) return
  const now = ctx.clock.now()
  const ids = taken.map(({ id, name }) => ({ id: newId(now.getTime()), identity: id, name }))
  await settleHandovers(
    tx,
    taken.map(({ id }) => id),
    now,
  )
  await tx.query(
    `insert into handover (id, identity_id, identity_name, from_kind, from_id, from_name, to_kind, to_id, to_name, rule, cause, at)
     select h.id, h.identity, h.name, $2, $3, $4, $5, $6, $7, $8, $9, $10
       from jsonb_to_recordset($1::jsonb) as h(id uuid, identity uuid, name text)`,
    [JSON.stringify(ids), from.owner.kind, from.owner.id, from.name, heir.owner.kind, heir.owner.id, heir.name, heir.rule, cause, now],
  )
  const [before, after] = [facts(from.owner), facts(heir.owner)]
  await append(
    tx,
    ctx,
    taken.map((row) =>
      identityEvent('identity.handed_over', row, { before, after, from: from.name, to: heir.name, rule: heir.rule, cause }),
    ),
  )
}

function facts(owner: OwnerRef) {
  const { owner_identity_id, owner_team_id } = ownerColumns(owner)
  return { ownerPerson: owner_identity_id, ownerTeam: owner_team_id }
}

/** An owner was named, or these identities ended: their handovers wait for nobody any more. */
export async function settleHandovers(tx: Tx, identities: readonly string[], at: Date): Promise<void> {
  await tx.query('update handover set settled_at = $2 where identity_id = any($1::uuid[]) and settled_at is null', [identities, at])
}

/**
 * Handovers that nobody has confirmed or changed by naming an owner, oldest first; `after` is the id of the last one seen. Not those of
 * what has ended: nothing of it can be moved any more.
 */
export async function openHandovers(sql: Sql, page: { readonly after?: string; readonly limit: number }): Promise<Handover[]> {
  const rows = await sql.query<Record<string, string> & { at: Date; rule: HandoverRule; cause: HandoverCause }>(
    `select id, identity_id, identity_name, from_kind, from_id, from_name, to_kind, to_id, to_name, rule, cause, at from handover h
      where settled_at is null and ($1::uuid is null or id > $1)
        and exists (select 1 from identity i where i.id = h.identity_id and i.status <> 'offboarded')
      order by id limit $2`,
    [page.after ?? null, Math.max(1, Math.min(page.limit, LIMITS.pageMax))],
  )
  const owner = (row: Record<string, unknown>, side: 'from' | 'to') => ({
    kind: row[`${side}_kind`] === 'team' ? ('team' as const) : ('person' as const),
    id: String(row[`${side}_id`]),
    name: String(row[`${side}_name`]),
  })
  return rows.map((row) => ({
    id: row.id ?? '',
    identity: row.identity_id ?? '',
    identityName: row.identity_name ?? '',
    from: owner(row, 'from'),
    to: owner(row, 'to'),
    rule: row.rule,
    cause: row.cause,
    at: row.at,
  }))
}
