import type { Ctx } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import { nextReminder } from './approval.actions.ts'
import { lockStanding, settle, standingOf } from './approval.standing.ts'
import * as rows from './approval.store.ts'
import { queueNotices } from './notify.queue.ts'

/** Requests looked at in one transaction. */
const BATCH = 50

/**
 * Brings the rows to what time and people have made of them: expired requests end, approvals that are short of somebody wait again, and
 * who has not decided is reminded. Takes no input; any number of processes may run it. Resolves with how many requests it touched.
 * Nothing depends on its being run in time: whoever decides or consumes counts for themselves.
 */
export async function sweepApprovals(store: Store, ctx: Ctx): Promise<number> {
  let touched = 0
  touched += await store.inTx(async (tx) => {
    const due = await rows.dueApprovals(tx, ctx.clock.now(), BATCH)
    for (const row of due) {
      const standing = await settle(tx, ctx, await standingOf(tx, ctx, row))
      if (standing.state === 'expired') continue
      const { state, eligible, decisions } = standing
      const decided = new Set(decisions.flatMap((one) => (one.taken_back_at === null ? [one.identity_id] : [])))
      const waiting = [...new Set(eligible.map(({ identity }) => identity))].filter((one) => !decided.has(one))
      if (state === 'requested') await queueNotices(tx, row.id, 'reminder', waiting)
      await rows.setReminder(tx, row.id, state === 'bypassed' ? null : nextReminder(ctx.clock.now(), row.expires_at))
    }
    return due.length
  })
  for (const id of await rows.approvedIds(store, BATCH)) {
    await store.inTx(async (tx) => {
      const standing = await lockStanding(tx, ctx, id)
      if ((await settle(tx, ctx, standing)) !== standing) touched++
    })
  }
  return touched
}
