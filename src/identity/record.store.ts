import { addressKey, type Json, nameKey } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { IdentityKind } from './model.ts'
import type { Entitlement, ExternalId, IdentityStatus, Labels, OwnerRef, RecoveryClass } from './record.model.ts'

/** A row of the record. */
export interface Row {
  readonly id: string
  readonly name: string
  /** What the name is compared by: `nameKey`. */
  readonly name_key: string
  readonly kind: IdentityKind
  readonly owner: string
  readonly owner_identity_id: string | null
  readonly owner_team_id: string | null
  readonly purpose: string
  readonly environment: string
  readonly tenancy: string
  readonly source: string
  readonly status: IdentityStatus
  readonly manager_id: string | null
  readonly recovery_class: RecoveryClass | null
  readonly recovery_class_reason: string | null
  readonly ial: 1 | 2 | 3 | null
  readonly ial_source: string | null
  readonly ial_at: Date | null
  readonly left_at: Date | null
  /** A person suspended it: a directory does not bring it back. */
  readonly barred: boolean
}

export const COLUMNS = `id, name, name_key, kind, owner, owner_identity_id, owner_team_id, purpose, environment, tenancy, source, status,
  manager_id, recovery_class, recovery_class_reason, ial, ial_source, ial_at, left_at, barred`

const RECORD_LOCK = 7_395_010

/**
 * Who writes an owner, a manager or a member holds this together with others; who takes a person or a team away holds it alone. So
 * nothing is ever given to somebody who is just leaving, and no two leavers hand over to one another.
 */
export async function lockRecord(tx: Tx, how: 'shared' | 'alone'): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock${how === 'shared' ? '_shared' : ''}($1)`, [RECORD_LOCK])
}

/** Names that fold alike wait for one another, so that two of them cannot join at the same moment. */
export async function lockName(tx: Tx, name: string): Promise<void> {
  await tx.query('select pg_advisory_xact_lock(hashtextextended($1, 7395010))', [nameKey(name)])
}

export async function nameTaken(tx: Tx, name: string, exceptId: string | null): Promise<string | null> {
  const [row] = await tx.query<{ name: string }>(
    'select name from identity where name_key = $1 and ($2::uuid is null or id <> $2) order by name_nth limit 1',
    [nameKey(name), exceptId],
  )
  return row?.name ?? null
}

/** The row, locked until the end of the transaction. */
export async function lockIdentity(tx: Tx, id: string): Promise<Row | null> {
  const [row] = await tx.query<Row>(`select ${COLUMNS} from identity where id = $1 for no key update`, [id])
  return row ?? null
}

/** False if the name is taken. */
export async function rowById(sql: Sql, id: string): Promise<Row | null> {
  const [row] = await sql.query<Row>(`select ${COLUMNS} from identity where id = $1`, [id])
  return row ?? null
}

export async function insertRow(tx: Tx, row: Row): Promise<boolean> {
  const done = await tx.query(
    `insert into identity (${COLUMNS}) select ${COLUMNS} from jsonb_populate_record(null::identity, $1::jsonb)
     on conflict do nothing returning id`,
    [JSON.stringify(row)],
  )
  return done.length === 1
}

export async function updateRow(tx: Tx, row: Row): Promise<void> {
  await tx.query(
    `update identity t set name = n.name, name_key = n.name_key,
            name_nth = case when t.name = n.name then t.name_nth else 0 end, owner = n.owner,
            owner_identity_id = n.owner_identity_id, owner_team_id = n.owner_team_id,
            purpose = n.purpose, environment = n.environment, tenancy = n.tenancy, source = n.source, status = n.status,
            manager_id = n.manager_id, recovery_class = n.recovery_class, recovery_class_reason = n.recovery_class_reason,
            ial = n.ial, ial_source = n.ial_source, ial_at = n.ial_at, left_at = n.left_at, barred = n.barred,
            revision = t.revision + 1, changed_at = now()
       from jsonb_populate_record(null::identity, $1::jsonb) n where t.id = n.id`,
    [JSON.stringify(row)],
  )
}

/** The row's own text of what it is, for events and for comparing the two (`rekey fsck`). Nulls are left out. */
export function factsOf(row: Row): Record<string, Json> {
  const facts: Record<string, Json> = {
    name: row.name,
    kind: row.kind,
    owner: row.owner,
    ownerPerson: row.owner_identity_id,
    ownerTeam: row.owner_team_id,
    purpose: row.purpose,
    environment: row.environment,
    tenancy: row.tenancy,
    source: row.source,
    manager: row.manager_id,
    recoveryClass: row.recovery_class,
    recoveryClassReason: row.recovery_class_reason,
    ial: row.ial,
    ialSource: row.ial_source,
    ialAt: row.ial_at?.toISOString() ?? null,
    barred: row.barred || null,
  }
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== null))
}

export async function labelsOf(sql: Sql, id: string): Promise<Labels> {
  const rows = await sql.query<{ key: string; value: string }>(
    'select key, value from identity_label where identity_id = $1 order by key',
    [id],
  )
  return Object.fromEntries(rows.map(({ key, value }) => [key, value]))
}

/** What people are told apart by, of a label; null for all but `email`. */
export const labelAddress = (key: string, value: string): string | null => (key === 'email' ? addressKey(value) : null)

export async function setLabels(tx: Tx, id: string, labels: Labels): Promise<void> {
  await tx.query('delete from identity_label where identity_id = $1', [id])
  await tx.query(
    `insert into identity_label (identity_id, identity_name, key, value, address)
     select i.id, i.name, k.key, k.value, case when k.key = 'email' then $3 end
       from identity i cross join jsonb_each_text($2::jsonb) k where i.id = $1`,
    [id, JSON.stringify(labels), labelAddress('email', labels.email ?? '')],
  )
}

export async function entitlementsOf(sql: Sql, id: string): Promise<Entitlement[]> {
  return sql.query(
    `select system, account, role from entitlement where identity_id = $1
      order by system collate "C", account collate "C", role collate "C"`,
    [id],
  )
}

const ENTITLEMENTS = 'jsonb_to_recordset($2::jsonb) as e(system text, account text, role text)'

export async function addEntitlements(tx: Tx, id: string, added: readonly Entitlement[]): Promise<void> {
  if (added.length === 0) return
  await tx.query(
    `insert into entitlement (identity_id, system, account, role) select $1, e.system, e.account, e.role from ${ENTITLEMENTS}`,
    [id, JSON.stringify(added)],
  )
}

export async function dropEntitlements(tx: Tx, id: string, removed: readonly Entitlement[]): Promise<void> {
  if (removed.length === 0) return
  await tx.query(
    `delete from entitlement t using ${ENTITLEMENTS}
      where t.identity_id = $1 and t.system = e.system and t.account = e.account and t.role = e.role`,
    [id, JSON.stringify(removed)],
  )
}

export async function externalIdsOf(sql: Sql, id: string): Promise<ExternalId[]> {
  return sql.query('select source, external_id as id from identity_external where identity_id = $1 order by source collate "C"', [id])
}

export async function dropExternalIds(tx: Tx, id: string, sources: readonly string[]): Promise<void> {
  if (sources.length > 0) await tx.query('delete from identity_external where identity_id = $1 and source = any($2::text[])', [id, sources])
}

/** Resolves with the one that another identity has, if any; then nothing more may be done in the transaction. */
export async function addExternalIds(tx: Tx, id: string, added: readonly ExternalId[], makers: readonly string[] | null): Promise<boolean> {
  if (added.length === 0) return true
  const rows = await tx.query(
    `insert into identity_external (source, external_id, identity_id, makers)
     select e.source, e.id, $1, $3 from jsonb_to_recordset($2::jsonb) as e(source text, id text) on conflict do nothing returning source`,
    [id, JSON.stringify(added), makers],
  )
  return rows.length === added.length
}

/** Whether somebody is below a manager, or is the manager, through any number of steps. */
export async function isManagedBy(sql: Sql, id: string, manager: string): Promise<boolean> {
  const found = await sql.query(
    `with recursive above(id) as (
       select $1::uuid union select i.manager_id from above a join identity i on i.id = a.id where i.manager_id is not null)
     select 1 from above where id = $2::uuid`,
    [id, manager],
  )
  return found.length > 0
}

/** Somebody who may own or manage: a person who is not gone. */
export async function personById(sql: Sql, id: string): Promise<Pick<Row, 'id' | 'name' | 'tenancy' | 'status' | 'left_at'> | null> {
  const [row] = await sql.query<Pick<Row, 'id' | 'name' | 'tenancy' | 'status' | 'left_at'>>(
    "select id, name, tenancy, status, left_at from identity where id = $1 and kind = 'human' and status <> 'offboarded'",
    [id],
  )
  return row ?? null
}

/**
 * Gives owners by id to those whose text names exactly one team or person of their tenancy. `names` are the texts looked at. Two of
 * one name are nobody: a name that fits several decides nothing.
 */
export async function resolveOwners(tx: Tx, names: readonly string[]): Promise<Row[]> {
  return tx.query(
    `update identity t set owner_team_id = f.team, owner_identity_id = f.person, revision = t.revision + 1, changed_at = now()
       from (select w.id, c.team, c.person
               from identity w
               cross join lateral (
                 select count(*) as n, min(o.team::text)::uuid as team, min(o.person::text)::uuid as person
                   from (select m.id as team, null::uuid as person from team m where m.name = w.owner and m.tenancy = w.tenancy
                         union all
                         select null, p.id from identity p
                          where p.name = w.owner and p.tenancy = w.tenancy and p.kind = 'human' and p.status <> 'offboarded'
                            and p.left_at is null) o) c
              where w.owner_key = any($1::text[]) and c.n = 1 and w.status <> 'offboarded') f
      where t.id = f.id returning ${COLUMNS.replaceAll(/\w+/g, 't.$&')}`,
    [[...new Set(names)].map((name) => `name:${name}`)],
  )
}

export async function queueChange(
  tx: Tx,
  id: string,
  change: 'suspended' | 'resumed' | 'offboarded',
  reason: string,
  at: Date,
): Promise<number> {
  const [row] = await tx.query<{ id: number }>(
    'insert into identity_change (identity_id, change, reason, at) values ($1, $2, $3, $4) returning id',
    [id, change, reason, at],
  )
  await tx.query("select pg_notify('rekey_identity', $1)", [id])
  return row?.id ?? 0
}

export async function queueEntitlements(
  tx: Tx,
  id: string,
  change: 'added' | 'removed',
  items: readonly Entitlement[],
  at: Date,
): Promise<void> {
  if (items.length === 0) return
  await tx.query(
    `insert into entitlement_change (identity_id, system, account, role, change, at)
     select $1, e.system, e.account, e.role, $3, $4 from ${ENTITLEMENTS}`,
    [id, JSON.stringify(items), change, at],
  )
  await tx.query("select pg_notify('rekey_identity', $1)", [id])
}

/** The columns of an owner by id. */
export function ownerColumns(owner: OwnerRef): Pick<Row, 'owner_identity_id' | 'owner_team_id'> {
  return owner.kind === 'person'
    ? { owner_identity_id: owner.id, owner_team_id: null }
    : { owner_identity_id: null, owner_team_id: owner.id }
}
