/** What a mover's entitlements leave behind: the credentials that are to be narrowed or rotated. */
import { append } from '../evidence/index.ts'
import { dueEntitlements, type EntitlementChange, identitiesById, markEntitlementsHandled, recordsById } from '../identity/index.ts'
import { type Ctx, LIMITS, pageOfSeen, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine } from '../policy/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { mineBy, type Standing, standingResource } from './resources.ts'

/** A credential of an account that somebody was entitled to, and is no more. */
export interface MoverCredential {
  readonly name: string
  /** `narrow`: it is the mover's own, and can do what they may no longer. `rotate`: it is another's, whose value the mover may know. */
  readonly advice: 'narrow' | 'rotate'
}

/** An entitlement that went, and what is to be done about it. */
export interface Mover {
  readonly id: number
  readonly identity: string
  /** Null if the identity was removed since. */
  readonly name: string | null
  readonly system: string
  readonly account: string
  readonly role: string
  readonly at: Date
  /** Without those to rotate that got another value since. */
  readonly credentials: readonly MoverCredential[]
}

/**
 * Entitlements that went and are not settled, oldest first, from after `after`. Only those with something to do that the asker may read.
 * `next` is the cursor of what follows; null at the end. See `pageOfSeen`.
 */
export async function listMovers(
  sql: Sql,
  may: Allowed<'finding:read'>,
  page: { readonly after?: number | undefined; readonly limit: number },
): Promise<{ readonly items: Mover[]; readonly next: number | null }> {
  const { items, next } = await pageOfSeen<Due>(
    { after: page.after === undefined ? null : String(page.after), limit: page.limit },
    {
      most: LIMITS.pageMax,
      read: (after, count) => dueEntitlements(sql, count, after === null ? 0 : Number(after)),
      cursorOf: ({ id }) => String(id),
      mine: async (changes) => {
        const removed = changes.filter(({ change }) => change === 'removed')
        const found = await credentialsOf(sql, may, removed)
        return removed
          .map((it): Due => ({ ...it, credentials: found.get(it.id) ?? [] }))
          .filter(({ credentials }) => credentials?.length !== 0)
      },
    },
  )
  const identities = await identitiesById(sql, [...new Set(items.map((it) => it.identity))])
  const movers = items.map(({ id, identity, system, account, role, at, credentials = [] }): Mover => {
    const name = identities.get(identity)?.name ?? null
    return { id, identity, name, system, account, role, at, credentials }
  })
  return { items: movers, next: next === null ? null : Number(next) }
}

/** A change, and once it was looked at what there is to do about it. */
interface Due extends EntitlementChange {
  readonly credentials?: readonly MoverCredential[]
}

type Left = Standing & { readonly change: number; readonly name: string; readonly own: boolean }

/** The credentials that these changes leave something to do about. */
async function leftBy(sql: Sql, removed: readonly EntitlementChange[]): Promise<Left[]> {
  const asked = removed.map(({ id, identity, system, account, at }) => ({ id, identity, system, account, at: at.toISOString() }))
  return sql.query<Left>(
    `select a.id as change, c.id, c.name, c.identity_id, s.name as system, coalesce(c.identity_id = a.identity, false) as own
       from jsonb_to_recordset($1::jsonb) as a(id bigint, identity uuid, system text, account text, at timestamptz)
       join system s on s.name = a.system
       join credential c on c.system_id = s.id and a.account = any(c.accounts)
       left join version v on v.credential_id = c.id and v.state = 'current'
      where c.identity_id = a.identity or v.installed_at is null or v.installed_at <= a.at
      order by a.id, c.name`,
    [JSON.stringify(asked)],
  )
}

async function credentialsOf(
  sql: Sql,
  may: Allowed<'finding:read'>,
  removed: readonly EntitlementChange[],
): Promise<Map<number, MoverCredential[]>> {
  const rows = await leftBy(sql, removed)
  const mine = await mineBy(sql, may, 'finding', rows)
  const found = new Map<number, MoverCredential[]>()
  for (const { change, name, own } of rows.filter(mine)) {
    found.set(change, [...(found.get(change) ?? []), { name, advice: own ? 'narrow' : 'rotate' }])
  }
  return found
}

/**
 * Takes one off the list, with a reason (event `mover.settled`). Throws `not_found` if it is not on it, in the same words if the asker may
 * not settle it: by the credentials that it is about, or whose it is where there are none.
 */
export async function settleMover(
  { store }: { readonly store: Store },
  ctx: Ctx,
  may: Allowed<'finding:resolve'>,
  id: string,
  reason: string,
): Promise<void> {
  await store.inTx(async (tx) => {
    const [settled] = /^[1-9]\d{0,14}$/.test(id) ? await markEntitlementsHandled(tx, [Number(id)]) : []
    if (settled === undefined || !(await isToSettle(tx, may, settled)))
      throw new RekeyError('not_found', `No such change of an entitlement is open: ${id}`)
    const { identity, system, account, role } = settled
    const links = { identity }
    await append(tx, ctx, [{ log: 'credential', type: 'mover.settled', subject: `${account}@${system}`, links, data: { role, reason } }])
  })
}

async function isToSettle(tx: Tx, may: Allowed<'finding:resolve'>, change: EntitlementChange): Promise<boolean> {
  const left = await leftBy(tx, [change])
  const about = left.length > 0 ? left : [{ id: String(change.id), system: change.system, identity_id: change.identity }]
  const records = await recordsById(
    tx,
    about.flatMap(({ identity_id }) => identity_id ?? []),
  )
  return about.every(({ id, system, identity_id }) => isMine(may, standingResource('finding', id, system, records.get(identity_id ?? ''))))
}
