import type { Ended } from '../connectors/contract.ts'
import { counted, RekeyError, type Secret } from '../kernel/index.ts'
import { shown } from './rotation.grants.ts'
import { lastProbe, laterShred, type Pair, probeData, probePair, type Run, type StepResult } from './rotation.run.ts'

/** For how long old-refused and new-accepted, seen together, still count as the same moment as the end of the last session. */
const SAME_MOMENT_MS = 5_000

/** Takes the old value away and ends the sessions that were opened with it. */
export async function retire(run: Run): Promise<StepResult> {
  run.checkClaim()
  const { work, progress, plan } = run
  const revocable = run.parts.targets.connectorFor(work.system.connector).describe().canRevoke
  if (!revocable) return endIrrevocable(run)
  await run.trap('before_retire')
  const first = await takeAway(run)
  await run.trap('after_retire')
  // Rekey's own root connections were opened with the old root value: they go first, and the count below must find none.
  await run.renewRoot('new')
  const { mark, ended, holdsNew } = await endOld(run, first)
  run.retiredHere = true
  run.holdsNew = holdsNew
  progress.retire_mark = mark
  progress.sessions_ended = (progress.sessions_ended ?? 0) + ended
  progress.retired_at = run.now()
  progress.attempt_step = null
  progress.attempt_opened_at = null
  progress.tries = 0
  const revokedAt = plan.oldDiesAtInstall ? (progress.installed_at ?? progress.retired_at) : progress.retired_at
  run.change({ id: work.old.id, state: 'previous', revoked_at: revokedAt })
  run.move('retired', { sessionsEnded: progress.sessions_ended, revokedAt: revokedAt.toISOString() })
  return 'go'
}

/** The end of the old value's sessions. */
interface OldEnded {
  readonly mark: string
  readonly ended: number
  /** In place: after the last one the account had the new value, by the system's own word. */
  readonly holdsNew: boolean
}

/**
 * Ends the sessions of the old value. Most systems let an account change its own value, so until its last session has ended, whoever
 * has one may give the retired account of a pair another value, of which no proof would know. So it is taken away again until nobody was
 * there to do that. (In place and dual, the login with the new value fails then, and the proof with it.)
 */
export async function endOld(run: Run, first: string): Promise<OldEnded> {
  let mark = first
  let ended = 0
  for (let turn = 1; ; turn++) {
    const found = await endAndCompare(run, before(run, mark), run.plan.otherAccount ? null : run.fresh().secret)
    ended += found.ended
    await run.trap('sessions_ended')
    if (!run.plan.otherAccount) return { mark, ended, holdsNew: found.holds === true }
    // Where nobody can look: two times in a row, so that a session that came and went between would have to fit in there.
    if (found.ended === 0 && (found.holds ?? turn > 1)) return { mark, ended, holdsNew: false }
    if (turn === RETIRE_TURNS)
      throw new RekeyError('target_conflict', SET_AGAIN, { hint: 'Stop its logins on the system, then run: rekey rotation retry' })
    mark = await takeAway(run)
  }
}

/** Ends the old account's sessions, and says what it had when none was left, where the system can tell (null: no value at all). */
export async function endAndCompare(run: Run, mark: string | undefined, held: Secret | null): Promise<Ended> {
  const { target, ctx } = run
  const { account } = run.work.old
  if (target.endSessionsAndCompare !== undefined) return target.endSessionsAndCompare(ctx, account, mark, held)
  return { ended: await target.endSessions(ctx, account, mark), holds: null }
}

/** How often an account that is given a value again while it is retired is retired anew before that is an error. */
const RETIRE_TURNS = 8
const SET_AGAIN = 'Somebody gives the retired account another value as fast as it is taken away.'

/** Takes the old value from the account. In place the install did that already, and its mark divides the sessions. */
export async function takeAway(run: Run): Promise<string> {
  const { work, plan, progress } = run
  if (plan.oldDiesAtInstall && progress.mark !== null) return progress.mark
  // A value that the system refused is not the one that the account has: that one is unknown, as at a takeover.
  const old = work.old.seen === 'refused' ? null : run.valueOf(work.old)
  const order = { strategy: work.credential.strategy, account: work.old.account, old }
  return (await run.target.retire(run.ctx, { ...order, keep: plan.otherAccount ? null : run.fresh().secret })).mark
}

function before(run: Run, retireMark: string): string | undefined {
  if (run.plan.endsSessions === 'all') return undefined
  return run.plan.endsSessions === 'before_install' ? (run.progress.mark ?? retireMark) : retireMark
}

async function endIrrevocable(run: Run): Promise<StepResult> {
  run.progress.problem = { reason: 'nobody can revoke this credential centrally' }
  run.change({ id: run.work.old.id, state: 'irrevocable' })
  run.rescheduleAtEnd()
  run.move('irrevocable', { reason: run.progress.problem.reason })
  await run.commit({ dueMs: null })
  return 'end'
}

/** The proof of death: old refused, new accepted in the same moment, no session of the old left. */
export async function prove(run: Run): Promise<StepResult> {
  run.checkClaim()
  const { work } = run
  if (run.valueOf(work.old) === null) return endNotProvable(run, 'value unknown')
  if (work.old.seen !== 'accepted')
    return endNotProvable(run, `the value held as the old one was not accepted before the change (${work.old.seen ?? 'not tried'})`)
  await refuseSameLogins(run)
  // In another run than that of the retirement, the account may have got a value meanwhile of which nobody knows.
  if (run.plan.otherAccount && !run.retiredHere) run.progress.retire_mark = (await endOld(run, await takeAway(run))).mark
  const left = await sessionsLeft(run)
  if (left > 0) {
    await run.target.endSessions(run.ctx, work.old.account, before(run, run.progress.retire_mark ?? ''))
    throw new RekeyError('target_conflict', `${counted(left, 'session')} of the old value ${left === 1 ? 'is' : 'are'} still open.`)
  }
  // After the last session has ended: with one of the old value, an account may have got that value back.
  const pair = pairThatHolds(run) ?? (await probePair(run))
  await run.trap('before_proof')
  await refuseUnproven(run, pair)
  await endProven(run, pair)
  return 'end'
}

/**
 * Refused at one account, the value may still let the same name in from another place. The probe cannot go there, so the system is asked.
 * It is asked at the end only: a value that leaked is to be dead here soon, and two accounts that share one must not wait for each other.
 */
async function refuseSameLogins(run: Run): Promise<void> {
  const { old } = run.work
  const value = run.valueOf(old)
  if (value === null) return
  const others = (await run.target.sameLogins?.(run.ctx, old.account, value)) ?? []
  if (others.length === 0) return
  throw new RekeyError('target_conflict', `The old value still logs in by the same name from other places: ${shown(others)}.`, {
    hint: 'Give these accounts another value, or lock or drop them on the system, then run: rekey rotation retry',
  })
}

/** The logins that `verify` tried, if the account's value was, after the end of the last session, the very one that they met. */
function pairThatHolds(run: Run): Pair | null {
  const { pair } = run
  if (pair === null || !run.retiredHere || !run.holdsNew || run.ctx.clock.monotonicMs() - pair.atMs > SAME_MOMENT_MS) return null
  return pair.old.outcome === 'refused' && pair.control.outcome === 'accepted' ? pair : null
}

/** In place: a session of the old value has given the account its old value back. It gets the new one again, and that session ends. */
async function putRight(run: Run): Promise<void> {
  const { mark, ended } = await installAgain(run)
  run.progress.mark = mark
  run.progress.retire_mark = mark
  run.progress.sessions_ended = (run.progress.sessions_ended ?? 0) + ended
}

/** Installs the new value once more, and ends every session from before that. */
export async function installAgain(run: Run): Promise<{ readonly mark: string; readonly ended: number }> {
  const { old, credential } = run.work
  const order = { account: old.account, strategy: credential.strategy, secret: run.fresh().secret, current: null }
  const { mark } = await run.target.install(run.ctx, order)
  return { mark, ended: await run.target.endSessions(run.ctx, old.account, mark) }
}

async function refuseUnproven(run: Run, { old, control }: Pair): Promise<void> {
  run.pair = null
  if (run.plan.oldDiesAtInstall && old.outcome === 'accepted' && control.outcome === 'refused') {
    await putRight(run)
    throw new RekeyError('target_unreachable', 'The old value had been set again on the account; the new one was installed once more.')
  }
  if (control.outcome !== 'accepted') {
    throw new RekeyError(
      'target_unreachable',
      `The control login with the new value is ${control.outcome} (${control.code}), so nothing is proven.`,
      {
        hint: 'The new value is stored and current. Look at the system.',
      },
    )
  }
  if (old.outcome === 'accepted') {
    // Retired, yet alive: a delay of the system, or somebody put it back. Taking it away twice is harmless.
    const keep = run.plan.otherAccount ? null : run.fresh().secret
    if (!run.plan.oldDiesAtInstall) {
      await run.target.retire(run.ctx, {
        strategy: run.work.credential.strategy,
        account: run.work.old.account,
        old: run.valueOf(run.work.old),
        keep,
      })
    }
    throw new RekeyError('target_unreachable', 'The old value is still accepted.', { hint: 'It stays on record until it is refused.' })
  }
  if (old.outcome !== 'refused') {
    throw new RekeyError('target_unreachable', `The login with the old value is ${old.outcome} (${old.code}), so its death is not proven.`)
  }
}

/** Just ended and counted in this run: known to be none. In a later run they are counted again. */
async function sessionsLeft(run: Run): Promise<number> {
  if (run.retiredHere) return 0
  const mark = before(run, run.progress.retire_mark ?? '')
  return (await run.target.sessions(run.ctx, run.work.old.account, mark === undefined ? {} : { before: mark })).length
}

async function endProven(run: Run, pair: Pair): Promise<void> {
  const { work, progress } = run
  const provedAt = run.now()
  const revokedAt = run.plan.oldDiesAtInstall ? progress.installed_at : progress.retired_at
  progress.proved_dead_at = provedAt
  planRecheck(run)
  progress.problem = null
  progress.tries = 0
  run.change({
    id: work.old.id,
    state: 'dead',
    // Dead for everybody once it is refused and no session is left, whichever was later.
    effective_dead_at: later(pair.old.at, progress.retired_at ?? provedAt),
    proved_dead_at: provedAt,
    shred_after: laterShred(run, provedAt),
    last_probe: lastProbe(pair.old),
  })
  run.change({ id: run.fresh().version.id, last_probe: lastProbe(pair.control) })
  run.rescheduleAtEnd()
  run.move('proven_dead', {
    oldVersion: work.old.number,
    newVersion: run.fresh().version.number,
    old: probeData(pair.old),
    control: probeData(pair.control),
    sessionsLeft: 0,
    sessionsEnded: progress.sessions_ended ?? 0,
    revokedAt: (revokedAt ?? provedAt).toISOString(),
    effectiveDeadAt: later(pair.old.at, progress.retired_at ?? provedAt).toISOString(),
    provedDeadAt: provedAt.toISOString(),
    gapMs: progress.gap_ms,
  })
  await run.commit({ dueMs: null })
}

/** Where a login takes time, sessions of logins that were under way are looked for once more when that time has passed. */
function planRecheck(run: Run): void {
  const { loginWindowMs } = run.parts.targets.connectorFor(run.work.system.connector).describe()
  const windowMs = run.parts.loginWindowMs ?? loginWindowMs
  if (loginWindowMs > 0) run.progress.recheck_at = new Date(run.now().getTime() + windowMs)
}

function later(a: Date, b: Date): Date {
  return a > b ? a : b
}

/** A takeover: the old value was never known, so nobody can try whether it still works. */
async function endNotProvable(run: Run, why: string): Promise<StepResult> {
  run.progress.problem = {
    reason: `not provable: ${why}`,
    hint: 'The old value was replaced, but whether it is dead cannot be shown. The next rotation can be proven.',
  }
  planRecheck(run)
  run.change({ id: run.work.old.id, state: 'unprovable' })
  run.rescheduleAtEnd()
  run.move('not_provable', { reason: run.progress.problem.reason })
  await run.commit({ dueMs: null })
  return 'end'
}
