import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, LIMITS } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { IdentityStatus } from './record.model.ts'

/**
 * On this channel the id of an identity is told whenever `dueChanges` or `dueEntitlements` has something new. A lost notice costs
 * nothing but time.
 */
export const IDENTITY_CHANGED = 'rekey_identity'

/** A change of status that somebody must act on. */
export interface IdentityChange {
  readonly id: number
  readonly identity: string
  readonly change: 'suspended' | 'resumed' | 'offboarded'
  readonly reason: string
  readonly at: Date
  /** Of the identity now, which may be later than the change; null if it was removed since. */
  readonly status: IdentityStatus | null
}

/** An entitlement that came or went, whose credentials are to be narrowed or rotated. */
export interface EntitlementChange {
  readonly id: number
  readonly identity: string
  readonly system: string
  readonly account: string
  readonly role: string
  readonly change: 'added' | 'removed'
  readonly at: Date
}

const ENTITLEMENT_CHANGE = 'id, identity_id as identity, system, account, role, change, at'

const most = (limit: number) => Math.max(1, Math.min(limit, LIMITS.pageMax))

/**
 * Changes of status that nobody has marked as handled, oldest first. Reading takes nothing away: who acts marks them in the transaction
 * that holds the outcome, and does the same again harmlessly if it died before. Two readers may see the same rows.
 */
export async function dueChanges(sql: Sql, limit: number): Promise<IdentityChange[]> {
  return sql.query(
    `select c.id, c.identity_id as identity, c.change, c.reason, c.at, i.status
       from identity_change c left join identity i on i.id = c.identity_id
      where c.handled_at is null order by c.id limit $1`,
    [most(limit)],
  )
}

/** Marks changes of status as handled (`identity_change.handled`, log identity). Those that are already stay so. */
export async function markHandled(tx: Tx, ctx: Ctx, ids: readonly number[]): Promise<void> {
  const done = await tx.query<{ id: number; identity: string }>(
    `update identity_change set handled_at = now() where id = any($1::bigint[]) and handled_at is null
     returning id, identity_id as identity`,
    [ids],
  )
  const type = 'identity_change.handled'
  const events = done.map(
    ({ id, identity }): EvidenceEvent => ({ log: 'identity', type, subject: identity, links: { identity }, data: { change: id } }),
  )
  if (events.length > 0) await append(tx, ctx, events)
}

/** Entitlements that came or went and that nobody has marked as handled, oldest first, from after the id `after`; as `dueChanges`. */
export async function dueEntitlements(sql: Sql, limit: number, after = 0): Promise<EntitlementChange[]> {
  return sql.query(`select ${ENTITLEMENT_CHANGE} from entitlement_change where handled_at is null and id > $2 order by id limit $1`, [
    most(limit),
    after,
  ])
}

/** Marks changes of entitlements as handled. Resolves with those that were not so before. */
export async function markEntitlementsHandled(tx: Tx, ids: readonly number[]): Promise<EntitlementChange[]> {
  return tx.query(
    `update entitlement_change set handled_at = now() where id = any($1::bigint[]) and handled_at is null returning ${ENTITLEMENT_CHANGE}`,
    [ids],
  )
}
