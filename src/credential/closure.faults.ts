import { type Ctx, isCode, messageOf, RekeyError, sleep } from '../kernel/index.ts'
import { isDatabaseLost } from '../store/index.ts'
import { ITEM_ENDS, STUCK } from './closure.model.ts'
import type { ClosureParts, ItemRun } from './closure.run.ts'
import type { ItemWork } from './closure.store.ts'
import { backoffMs, MAX_TRIES } from './rotation.model.ts'
import { LostClaim } from './rotation.run.ts'

/** Faults that another try cannot mend are tried a few times all the same: a root credential may be rotated at this moment. */
const TRIES_IF_HOPELESS = 3
const HOPELESS = ['target_not_authorised', 'target_conflict', 'target_unsupported', 'conflict', 'internal'] as const
const HINT = 'Mend the cause and run: rekey closure retry. If it cannot be revoked at all: rekey closure resolve --irrevocable'
/** How long the record of a fault waits for Rekey's own database, before the claim is left to end by itself. */
const LONGEST_PAUSE_MS = 10_000

/** Writes down that a step failed: another try after a pause, or handed to a named human. Keeps what was observed. Never rejects. */
export async function recordItemFault(
  parts: ClosureParts,
  ctx: Ctx,
  run: ItemRun | undefined,
  work: ItemWork,
  error: unknown,
): Promise<void> {
  if (error instanceof LostClaim) return
  const fault = asOurs(error)
  const { code, message, detail } = fault
  ctx.log.warn({ closure: work.closure.id, credential: work.credential.name, code, error: message, detail }, 'a step of a closure failed')
  if (run === undefined) return
  let decided = false
  let dueMs: number | null = null
  for (let pauseMs = 250; ; pauseMs *= 2) {
    try {
      if (!decided) dueMs = await decide(parts, run, fault)
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
async function decide(parts: ClosureParts, run: ItemRun, fault: RekeyError): Promise<number | null> {
  const { progress } = run
  if (STUCK.includes(run.state) || ITEM_ENDS.includes(run.state)) return null
  const problem = { reason: fault.message, code: fault.code, hint: fault.hint ?? HINT }
  progress.problem = problem
  // An outage of our own database says nothing about the target: it uses up no try.
  if (isDatabaseLost(fault)) return backoffMs(1, parts.jitter())
  const most = HOPELESS.some((code) => isCode(fault, code)) ? TRIES_IF_HOPELESS : MAX_TRIES
  if (progress.tries + 1 >= most) {
    await run.stop('handed_over', problem)
    progress.tries++
    return null
  }
  progress.tries++
  return backoffMs(progress.tries, parts.jitter())
}

function asOurs(error: unknown): RekeyError {
  return error instanceof RekeyError ? error : new RekeyError('internal', 'Rekey failed in a step of this closure.', { cause: error })
}
