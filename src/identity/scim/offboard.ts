import { append } from '../../evidence/index.ts'
import type { Ctx } from '../../kernel/index.ts'
import type { Store, Tx } from '../../store/index.ts'
import { offboardIdentity } from '../lifecycle.status.ts'
import { withSets } from '../policyset.read.ts'
import * as rows from './user.store.ts'
import { forgetUser, tellUser } from './user.told.ts'
import { textOf, userKeys } from './view.ts'
import { endWait, mayOffboard } from './wait.ts'

/** Most in one look: the next one follows at once while there are more. */
const AT_ONCE = 100

/**
 * Offboards the identities whose provider said false, or deleted the user, longer ago than its delay. Takes no input: the rows say what
 * is due, one transaction each, so that a process that dies leaves the rest for the next one, and two share the work. Whoever was
 * resumed by hand meanwhile is let go (`identity.offboarding_cancelled`): nothing is destroyed that is in use. Where a rule asks for
 * approval of `identity:offboard` it is asked for, and waited for; if it is rejected, the identity stays suspended for somebody to
 * decide about. Resolves with how many rows it settled or asked for.
 */
export async function offboardDue(store: Store, ctx: Ctx): Promise<number> {
  let settled = 0
  while (settled < AT_ONCE && !ctx.signal.aborted && (await offboardOne(store, ctx))) settled++
  return settled
}

async function offboardOne(store: Store, ctx: Ctx): Promise<boolean> {
  const settle = async (tx: Tx) => {
    const user = await rows.takeDue(tx, ctx.clock.now())
    if (user === null) return false
    const status = await rows.statusOf(tx, user.identity_id)
    if (status === 'suspended') return offboard(tx, ctx, user)
    await endWait(tx, ctx, user.id, `The identity is ${status}.`)
    if (status === 'active') await cancelled(tx, ctx, user, 'The identity was resumed by hand.')
    if (user.deleted_at !== null) await forgetUser(tx, ctx, user)
    else await clear(tx, ctx, user, false)
    return true
  }
  return withSets(ctx, () => store.inTx(settle))
}

async function offboard(tx: Tx, ctx: Ctx, user: rows.DueRow): Promise<true> {
  const reason = `The delay of ${user.provider} is over.`
  const may = await mayOffboard(tx, ctx, user, reason)
  if (may === 'waits') return true
  if (may === 'go') await offboardIdentity(tx, ctx, user.identity_id, reason)
  else await cancelled(tx, ctx, user, 'Who had to approve it did not: it stays suspended.')
  await endWait(tx, ctx, user.id, 'It is done.')
  if (user.deleted_at !== null) await forgetUser(tx, ctx, user)
  else await clear(tx, ctx, user, may !== 'go' && user.suspended)
  return true
}

/** No date any more; `suspended`: the provider's word may still resume it. */
async function clear(tx: Tx, ctx: Ctx, user: rows.DueRow, suspended: boolean): Promise<void> {
  await rows.clearOffboarding(tx, user.id, suspended)
  await tellUser(tx, ctx, user.provider_id, { ...user, suspended, offboard_at: null }, userKeys(user.resource))
}

async function cancelled(tx: Tx, ctx: Ctx, user: rows.DueRow, reason: string): Promise<void> {
  const links = { identity: user.identity_id, scim_user: user.id }
  const subject = textOf(user.resource, 'userName') ?? user.id
  await append(tx, ctx, [{ log: 'identity', type: 'identity.offboarding_cancelled', subject, links, data: { reason } }])
}
