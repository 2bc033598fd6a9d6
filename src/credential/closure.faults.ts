import { isCode, messageOf, RekeyError, sleep } from '../kernel/index.ts'
import { isDatabaseLost } from '../store/index.ts'
import { afterFault, ITEM_ENDS, isOutage, STUCK } from './closure.model.ts'
import type { ItemRun } from './closure.run.ts'
import { backoffMs } from './rotation.model.ts'
import { LostClaim } from './rotation.run.ts'

const HINT = 'Mend the cause and run: rekey closure retry. If it cannot be revoked at all: rekey closure resolve --irrevocable'
const OUTAGE_HINT =
  'Rekey looks by itself whether the system answers again, and goes on. Sooner: rekey closure retry. ' +
  'If it is gone for good: rekey closure resolve --irrevocable'
/** Pause before it is tried again with a key-encryption key that was not to be had: another process may have it. */
const KEY_PAUSE_MS = 5_000
/** How long the record of a fault waits for Rekey's own database, before the claim is left to end by itself. */
const LONGEST_PAUSE_MS = 10_000

/** Writes down that a step failed: another try after a pause, or handed to a named human. Keeps what was observed. Never rejects. */
export async function recordItemFault(run: ItemRun, error: unknown): Promise<void> {
  const { ctx, work } = run
  if (error instanceof LostClaim) return
  const fault = asOurs(error)
  const { code, message, detail } = fault
  ctx.log.warn({ closure: work.closure.id, credential: work.credential.name, code, error: message, detail }, 'a step of a closure failed')
  let decided = false
  let dueMs: number | null = null
  for (let pauseMs = 250; ; pauseMs *= 2) {
    try {
      if (!decided) dueMs = await decide(run, fault)
      decided = true
      return await run.commit({ dueMs })
    } catch (again) {
      if (again instanceof LostClaim) return
      if (!isCode(again, 'unavailable') || pauseMs > LONGEST_PAUSE_MS || ctx.signal.aborted) {
        return ctx.log.warn({ closure: work.closure.id, error: messageOf(again) }, 'a closure goes on when its claim ends')
      }
      await sleep(pauseMs, ctx.signal)
    }
  }
}

/** When it is due again; null: not by itself. */
async function decide(run: ItemRun, fault: RekeyError): Promise<number | null> {
  const { progress, parts, state } = run
  const held = STUCK.includes(state) || ITEM_ENDS.includes(state)
  const problem = { reason: fault.message, code: fault.code, hint: fault.hint ?? (isOutage(fault.code) ? OUTAGE_HINT : HINT) }
  const { to, tries, looks, pauseMs } = afterFault(
    { state, tries: progress.tries, looks: progress.looks, cause: progress.problem?.code },
    fault.code,
    parts.jitter(),
  )
  if (!held) progress.problem = problem
  // An outage of our own database says nothing about the target, nor does a key that only this process may be without: no try is used up.
  if (pauseMs !== null || to !== null) {
    if (isDatabaseLost(fault)) return backoffMs(1, parts.jitter())
    if (fault.code === 'kek_unavailable') return KEY_PAUSE_MS
  }
  if (to !== null) await run.stop(to, problem)
  Object.assign(progress, { tries, looks })
  return pauseMs
}

function asOurs(error: unknown): RekeyError {
  return error instanceof RekeyError ? error : new RekeyError('internal', 'Rekey failed in a step of this closure.', { cause: error })
}
