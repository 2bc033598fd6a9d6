import { append } from '../../evidence/index.ts'
import type { Ctx } from '../../kernel/index.ts'
import type { Store } from '../../store/index.ts'
import { offboardIdentity } from '../lifecycle.status.ts'
import * as rows from './user.store.ts'
import { textOf } from './view.ts'

/** Most in one look: the next one follows at once while there are more. */
const AT_ONCE = 100

/**
 * Offboards the identities whose provider said false, or deleted the user, longer ago than its delay. Takes no input: the rows say what
 * is due, one transaction each, so that a process that dies leaves the rest for the next one, and two share the work. Whoever was
 * resumed by hand meanwhile is let go (`identity.offboarding_cancelled`): nothing is destroyed that is in use. Resolves with how many
 * rows it settled.
 */
export async function offboardDue(store: Store, ctx: Ctx): Promise<number> {
  let settled = 0
  while (settled < AT_ONCE && !ctx.signal.aborted && (await offboardOne(store, ctx))) settled++
  return settled
}

async function offboardOne(store: Store, ctx: Ctx): Promise<boolean> {
  return store.inTx(async (tx) => {
    const user = await rows.takeDue(tx, ctx.clock.now())
    if (user === null) return false
    const status = await rows.statusOf(tx, user.identity_id)
    if (status === 'suspended') {
      await offboardIdentity(tx, ctx, user.identity_id, `The delay of ${user.provider} is over.`)
    } else if (status === 'active') {
      await append(tx, ctx, [
        {
          log: 'identity',
          type: 'identity.offboarding_cancelled',
          subject: textOf(user.resource, 'userName') ?? user.id,
          links: { identity: user.identity_id, scim_user: user.id },
          data: { reason: 'The identity was resumed by hand.' },
        },
      ])
    }
    if (user.deleted_at === null) await rows.clearOffboarding(tx, user.id)
    else await rows.dropUser(tx, user.id)
    return true
  })
}
