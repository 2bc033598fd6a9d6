import { isCode, messageOf, RekeyError, sleep, traceOf } from '../kernel/index.ts'
import { isDatabaseLost } from '../store/index.ts'
import { dropFiles } from './rotation.distribute.ts'
import { backoffMs, ENDS, MAX_TRIES, type State, UNDO_TOO_LATE } from './rotation.model.ts'
import { LostClaim, type Run } from './rotation.run.ts'

/** Faults that another try cannot mend are tried a few times all the same: a root credential may be rotated at this moment. */
const TRIES_IF_HOPELESS = 3
const HOPELESS = [
  'target_not_authorised',
  'target_conflict',
  'target_unsupported',
  'target_refused_by_policy',
  'conflict',
  'internal',
] as const
/** Faults in which time has run out or nothing can change: not tried again by itself. */
const FINAL: readonly (string | undefined)[] = ['activation_patience', 'undo_unknown', UNDO_TOO_LATE]
/** What to do, where the fault itself does not say. */
const HINTS: Partial<Record<string, string>> = {
  target_unreachable: 'See that the system answers.',
  target_not_authorised: 'Check the root account of the system and its rights, then run: rekey rotation retry',
  target_conflict: 'Look at the account on the system, then run: rekey rotation retry',
  target_refused_by_policy: 'Look at the password policy of the system, then run: rekey rotation retry, or undo',
}
const COMMAND = /rekey rotation (?:retry|undo|resolve|show)(?! [0-9a-f]{8}-)/g
/** Pause before it is tried again with a key-encryption key that was not to be had: another process may have it. */
const KEY_PAUSE_MS = 5_000
/** How long the record of a fault waits for Rekey's own database, with growing pauses, before the claim is left to end by itself. */
const LONGEST_PAUSE_MS = 10_000

/** Writes down that a step failed: another try after a pause, or `blocked` with reason and hint. Keeps what was observed. Never rejects. */
export async function recordFault(run: Run, error: unknown): Promise<void> {
  const { ctx, work } = run
  if (error instanceof LostClaim) return
  const fault = asOurs(error)
  const { code, message, detail } = fault
  const told = { rotation: work.id, credential: work.credential.name, code, error: message, detail: detail ?? placeOf(fault) }
  ctx.log.warn(told, 'a step failed')
  const dueMs = decide(run, fault)
  // What lay ready beside a consumer's file holds a value in the clear: it does not wait there for a human. The step makes it again.
  if (run.state === 'blocked') await dropFiles(run).catch(() => undefined)
  for (let pauseMs = 250; ; pauseMs *= 2) {
    try {
      return void (await run.commit({ dueMs }))
    } catch (again) {
      // Somebody else's now, or moved by a commit of ours of which no answer came: whoever claims it next finds what was written.
      if (again instanceof LostClaim) return
      if (!isCode(again, 'unavailable') || pauseMs > LONGEST_PAUSE_MS || ctx.signal.aborted) {
        return ctx.log.warn({ rotation: work.id, error: messageOf(again) }, 'a rotation goes on when its claim ends')
      }
      await sleep(pauseMs, ctx.signal)
    }
  }
}

/** Changes the run as the fault demands and says when it is due again; null for never by itself. */
function decide(run: Run, fault: RekeyError): number | null {
  const { progress, parts } = run
  // It had ended, or was blocked, and only the commit failed: once more, and not another try of a step that is done.
  if (run.state === 'blocked' || ENDS.includes(run.state)) return null
  const advice = fault.hint ?? HINTS[fault.code] ?? 'Look at the server log for its cause.'
  progress.problem = { reason: fault.message, code: fault.code, hint: hintOf(advice, run.work.id, false) }
  // An outage of our own database says nothing about the target: it uses up no try.
  if (isDatabaseLost(fault)) return backoffMs(1, parts.jitter())
  // Nor does a key that only this process may be without.
  if (fault.code === 'kek_unavailable') return KEY_PAUSE_MS
  progress.tries++
  const most = HOPELESS.some((code) => isCode(fault, code)) ? TRIES_IF_HOPELESS : MAX_TRIES
  if (progress.tries < most && !FINAL.includes(fault.detail)) return backoffMs(progress.tries, parts.jitter())
  const hint = hintOf(advice, run.work.id, true)
  progress.problem = { ...progress.problem, reason: fault.message, hint }
  const from: State = fault.detail === UNDO_TOO_LATE ? 'staged' : run.state
  progress.blocked_from = from
  progress.blocked_at = run.now()
  run.move('blocked', { from, reason: fault.message, code: fault.code, tries: progress.tries, hint })
  return null
}

/** What to do about it, with what to run: that names the rotation. What still tries by itself says so instead. */
function hintOf(advice: string, id: string, blocked: boolean): string {
  const named = advice.replace(COMMAND, (command) => `${command} ${id}`)
  if (!blocked) return `${named.replace(/[.;]?$/, '.')} It is tried again by itself.`
  return named !== advice ? named : `${advice.replace(/[.;]?$/, '.')} Then run: rekey rotation retry ${id}`
}

function asOurs(error: unknown): RekeyError {
  return error instanceof RekeyError ? error : new RekeyError('internal', 'Rekey failed in a step of this rotation.', { cause: error })
}

/** Of what is not ours its message is kept out of the log, and so is the text of its stack, which begins with it. */
function placeOf({ code, cause }: RekeyError): string | undefined {
  return code === 'internal' && cause instanceof Error ? traceOf(cause) : undefined
}
