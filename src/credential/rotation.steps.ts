import { isOtherServer, isUnconfirmed, type Mark } from '../connectors/contract.ts'
import { isCode, newId, RekeyError, sleep } from '../kernel/index.ts'
import { fingerprint, generatePassword, seal } from '../seal/index.ts'
import { distribute, placeEarly, prepare } from './rotation.distribute.ts'
import { compareGrants } from './rotation.grants.ts'
import { ACTIVATION_PATIENCE_SECONDS, activationPauseMs, MAX_REGENERATIONS, type State } from './rotation.model.ts'
import { prove, retire } from './rotation.retire.ts'
import { lastProbe, laterShred, noteFact, type Pair, probeData, probePair, type Run, type StepResult } from './rotation.run.ts'
import { seenBefore } from './rotation.store.ts'
import { installTurn } from './rotation.turn.ts'
import { undo } from './rotation.undo.ts'
import { refuseClash } from './server.clash.ts'
import { versionBound } from './targets.ts'

/** The old value is dead: a database of ours that does not answer holds the files up for so long only. */
const MARK_PATIENCE_MS = 250
/** For so long it is believed that a value which was accepted still is. */
const SEEN_LATELY_MS = 10 * 60_000

/** The step that moves a rotation on from each state. States without one are ends or wait for a human. */
export const STEPS: Partial<Record<State, (run: Run) => Promise<StepResult>>> = {
  planned: stage,
  staged: install,
  installed: verify,
  verified: distribute,
  distributed: activate,
  activated: startRetiring,
  retiring: retire,
  retired: prove,
  undoing: undo,
}

/** Makes the value and commits it, encrypted, together with the opened attempt: from here on it is never lost. */
async function stage(run: Run): Promise<StepResult> {
  const unmet = await refuseClash(run).then(() => null, refuseKnown)
  run.progress.old_probe = run.work.old.probe
  await stageFresh(run)
  run.progress.staged_at = run.now()
  run.progress.attempt_step = 'install'
  run.progress.attempt_opened_at = run.now()
  run.move('staged', { fingerprint: run.work.fresh === null ? '' : fingerprint(run.parts.fingerprintKey, run.fresh().secret) })
  await commitStage(run)
  await run.trap('staged')
  if (unmet !== null) throw unmet
  run.clashRefused = true
  return 'go'
}

/** A system that cannot be asked holds nothing up before it is to be changed; what is known to be wrong does. */
function refuseKnown(error: unknown): RekeyError {
  if (error instanceof RekeyError && error.code.startsWith('target_') && !isOtherServer(error)) return error
  throw error
}

async function stageFresh(run: Run): Promise<void> {
  const { work } = run
  const secret = generatePassword()
  const id = newId(run.now().getTime())
  const sealed = seal(run.dataKey, secret, versionBound(work.credential.id, id))
  work.fresh = { id, number: 0, account: work.newAccount, sealed, ...seenBefore(null) }
  run.progress.new_version_id = id
  run.stage({ id, account: work.newAccount, sealed, fingerprint: fingerprint(run.parts.fingerprintKey, secret) })
}

async function commitStage(run: Run): Promise<void> {
  const number = await run.commit({ goOn: true })
  const { fresh } = run.work
  if (number !== null && fresh !== null) run.work.fresh = { ...fresh, number }
}

/** Makes the staged value accepted on the target, and looks at once whether it is. */
async function install(run: Run): Promise<StepResult> {
  if (!run.clashRefused) await refuseClash(run)
  const observed = run.resumed ? await probePair(run) : null
  run.resumed = false
  const grants = await compareGrants(run)
  await lookAtOld(run, observed)
  run.progress.old_probe ??= run.work.old.probe ?? { outcome: 'inconclusive', code: 'not_tried', at: run.now().toISOString(), where: '' }
  await prepare(run, run.fresh().version)
  await run.renewRoot('old')
  if (!hasGap(run)) {
    await makeAccepted(run, observed, grants)
    return verify(run)
  }
  const endTurn = await installTurn(run.target)
  try {
    await makeAccepted(run, observed, grants)
  } catch (error) {
    endTurn()
    throw error
  }
  return placeAndVerify(run, endTurn)
}

/** The old value is dead: first the files, then the login that shows it; only what makes the files durable goes on beside that. */
async function placeAndVerify(run: Run, endTurn: () => void): Promise<StepResult> {
  const marking = await keepMark(run)
  let placing: Promise<void> = Promise.resolve()
  await new Promise<void>((placed) => {
    placing = placeEarly(run, placed)
  })
  endTurn()
  try {
    await run.trap('placed_early')
    await marking.done
    return await verify(run)
  } finally {
    await placing
  }
}

/**
 * Sessions after the mark show that a consumer has moved: it goes on record before any consumer can read the value. Else one that logs in
 * just before a crash would be taken for old, its session ended, and it would be seen only when it comes again.
 * Resolves when it is on record, or when that takes too long; `done` settles when it is.
 */
async function keepMark(run: Run): Promise<{ readonly done: Promise<unknown> }> {
  if (!run.work.consumers.some(({ activation }) => activation === 'session')) return { done: Promise.resolve() }
  const waiting = new AbortController()
  const done = run.commit({ goOn: true })
  const settled = done.then(
    () => undefined,
    () => undefined,
  )
  await Promise.race([settled, sleep(MARK_PATIENCE_MS, waiting.signal)])
  waiting.abort()
  return { done }
}

/** True if consumers' files hold a dead value between the install and their placing. */
function hasGap({ plan, work }: Run): boolean {
  return plan.oldDiesAtInstall && work.consumers.some(({ path }) => path !== null)
}

/** The call itself, and what is recorded of it. */
async function makeAccepted(run: Run, observed: Pair | null, grants: Awaited<ReturnType<typeof compareGrants>>): Promise<void> {
  const calledMs = run.ctx.clock.monotonicMs()
  await run.trap('before_install')
  const mark = await callInstall(run)
  await run.trap('after_install')
  const { version } = run.fresh()
  if (run.plan.oldDiesAtInstall && observed?.control.outcome === 'accepted') run.interruptedAt = run.progress.attempt_opened_at
  run.progress.mark = mark
  run.progress.installed_at = run.now()
  run.progress.attempt_step = null
  run.progress.attempt_opened_at = null
  run.progress.gap_ms = run.plan.oldDiesAtInstall ? null : 0
  run.installedMs = calledMs
  run.change({ id: version.id, state: 'staged', installed_at: run.progress.installed_at })
  run.move('installed', {
    account: version.account,
    version: version.number,
    ...(grants ? { grants } : {}),
    ...(observed ? { afterInterruption: { old: probeData(observed.old), new: probeData(observed.control) } } : {}),
  })
}

/**
 * A value that was declared and never tried may be wrong, and the refusal of a value that never worked proves nothing. So it is tried
 * once while it should still work, and the answer is committed before anything is changed. One that was seen accepted lately is not tried
 * again; what was seen long ago may be undone since (somebody changed it by hand, or Rekey's database was restored from a backup and holds
 * a value that is dead).
 */
async function lookAtOld(run: Run, observed: Pair | null): Promise<void> {
  const { work } = run
  const value = run.valueOf(work.old)
  const tooLate = run.plan.oldDiesAtInstall && observed?.control.outcome === 'accepted'
  const lately = work.old.probe !== null && run.now().getTime() - Date.parse(work.old.probe.at) < SEEN_LATELY_MS
  if (value === null || lately || tooLate) return
  const probe = { ...(await run.probe(work.old.account, value)), at: run.now() }
  // What is kept here decides what can be proven at the end: nothing that only the moment says.
  if (probe.outcome === 'unreachable' || isUnconfirmed(probe))
    throw new RekeyError('target_unreachable', 'The system did not answer the login with the value in use.')
  work.old = { ...work.old, ...seenBefore({ ...lastProbe(probe), where: work.system.place }) }
  run.progress.old_probe = work.old.probe
  run.change({ id: work.old.id, state: 'current', last_probe: lastProbe(probe) })
  run.note('version.tried', { probe: probeData(probe) })
  await run.commit({ goOn: true })
}

/** Installs; a value that the target's policy refuses is made anew, stored, and tried again. */
async function callInstall(run: Run): Promise<Mark> {
  for (;;) {
    run.checkClaim()
    const { version, secret } = run.fresh()
    const { old, credential } = run.work
    const current = old.account === version.account ? run.valueOf(old) : null
    try {
      const { mark } = await run.target.install(run.ctx, { account: version.account, strategy: credential.strategy, secret, current })
      return mark
    } catch (error) {
      if (!isCode(error, 'target_refused_by_policy') || run.progress.regenerations >= MAX_REGENERATIONS) throw error
      await refuseIfInstalled(run)
      run.progress.regenerations++
      run.change({ id: version.id, state: 'void', shred_after: laterShred(run) })
      await stageFresh(run)
      run.note('rotation.regenerated', { refused: version.number, reason: error.message, times: run.progress.regenerations })
      await commitStage(run)
    }
  }
}

/**
 * A value that is refused by the policy now may be the account's already: an earlier try, of which no answer came, installed it, and the
 * policy lets no value be set twice. Throws unless the login is refused; the value is kept then.
 */
async function refuseIfInstalled(run: Run): Promise<void> {
  const { version, secret } = run.fresh()
  const probe = { ...(await run.probe(version.account, secret)), at: run.now() }
  noteFact(run, version, probe)
  if (probe.outcome === 'refused') return
  const what = `The system refused the new value by its policy, yet its login is ${probe.outcome} (${probe.code}).`
  throw new RekeyError(probe.outcome === 'accepted' ? 'target_conflict' : 'target_unreachable', what, {
    hint: 'The staged value is kept. Look at the policy and run rekey rotation retry, or take it back: rekey rotation undo.',
  })
}

/** The new value logs in. In-place, the old one is probed in the same moment: it must be dead already. */
async function verify(run: Run): Promise<StepResult> {
  run.checkClaim()
  const { version, secret } = run.fresh()
  // Tried here already where the system can say at the end that what was tried is still what counts.
  const early = run.plan.oldDiesAtInstall && run.target.endSessionsAndCompare !== undefined && run.valueOf(run.work.old) !== null
  if (early) run.pair = await probePair(run)
  const probe = run.pair?.control ?? { ...(await run.probe(version.account, secret)), at: run.now() }
  noteFact(run, version, probe)
  // What the old one was answered before is kept with the rotation (not by one that an older Rekey began).
  if (run.pair !== null && run.progress.old_probe !== null) noteFact(run, run.work.old, run.pair.old)
  if (probe.outcome === 'unreachable') throw new RekeyError('target_unreachable', 'The system did not answer the login with the new value.')
  if (probe.outcome !== 'accepted') {
    throw new RekeyError('target_conflict', `The new value was installed but its login is ${probe.outcome} (${probe.code}).`, {
      hint: 'The staged value is kept. Look at the account on the system, then run: rekey rotation retry',
    })
  }
  run.progress.verified_at = run.now()
  run.progress.tries = 0
  // The old value stays current for never an instant more than the system itself says.
  run.change({
    id: run.work.old.id,
    state: 'previous',
    ...(run.plan.oldDiesAtInstall ? { revoked_at: run.progress.installed_at ?? run.now() } : {}),
  })
  run.change({ id: version.id, state: 'current', last_probe: lastProbe(probe) })
  run.move('verified', { probe: probeData(probe) })
  return 'go'
}

/** Waits until every required consumer was seen with the new value, by the rule that the consumer declares. */
async function activate(run: Run): Promise<StepResult> {
  const { work, progress } = run
  const required = work.consumers.filter((consumer) => consumer.activation !== 'none')
  const seen = work.override ? [] : await seenConsumers(run)
  const missing = work.override
    ? []
    : required.map((consumer) => consumer.name).filter((name) => !seen.some((one) => one.consumer === name))
  if (missing.length > 0) return waitForConsumers(run, missing)
  progress.activated_at = run.now()
  progress.tries = 0
  progress.problem = null
  run.move('activated', { how: work.override ? [] : seen, ...(work.override ? { override: work.override } : {}) })
  return 'go'
}

async function seenConsumers(run: Run): Promise<{ consumer: string; by: string }[]> {
  const { work } = run
  const seen = work.reported.map((consumer) => ({ consumer, by: 'report' }))
  const bySession = work.consumers.filter((consumer) => consumer.activation === 'session')
  if (bySession.length === 0) return seen
  // Under every strategy: what somebody opened before the install, on whichever account, was not opened with the new value.
  const where = run.progress.mark === null ? {} : { after: run.progress.mark }
  const sessions = await run.target.sessions(run.ctx, work.newAccount, where)
  for (const { name } of bySession) {
    // One consumer: any foreign session is its own. Several: each must name itself, or one could stand for all.
    const found = bySession.length === 1 ? sessions[0] : sessions.find((session) => session.application === name)
    if (found) seen.push({ consumer: name, by: `session ${found.id}` })
  }
  return seen
}

async function waitForConsumers(run: Run, missing: readonly string[]): Promise<StepResult> {
  const { progress, work } = run
  const waitedMs = run.now().getTime() - (progress.distributed_at ?? run.now()).getTime()
  if (waitedMs > ACTIVATION_PATIENCE_SECONDS * 1000) {
    throw new RekeyError('conflict', `Not seen with the new value: ${missing.join(', ')}.`, {
      hint: 'Restart them and run rekey rotation retry, or take the responsibility: rekey rotation resolve --override-activation.',
      detail: 'activation_patience',
    })
  }
  const reporter = work.consumers.find(({ name, activation }) => activation === 'report' && missing.includes(name))
  progress.problem = {
    reason: `waiting for ${missing.join(', ')} to be seen with the new value`,
    ...(reporter
      ? { hint: `A consumer with activation: report runs: rekey consumer report ${work.credential.name} ${reporter.name}` }
      : {}),
  }
  return { waitMs: activationPauseMs(Math.max(0, waitedMs)) }
}

/**
 * After the grace period, records that the old value is going before anything of it is touched. In place that value is refused since
 * the install already: what has its grace are the sessions that were opened with it.
 */
async function startRetiring(run: Run): Promise<StepResult> {
  const { progress, work } = run
  const graceMs = work.graceSeconds * 1000
  const leftMs = graceMs - (run.now().getTime() - (progress.activated_at ?? run.now()).getTime())
  if (leftMs > 0) {
    const what = run.plan.oldDiesAtInstall ? 'sessions of the old value are ended' : 'the old value is retired'
    progress.problem = { reason: `grace period: ${what} ${Math.ceil(leftMs / 1000)} s from now` }
    return { waitMs: leftMs }
  }
  progress.problem = null
  run.move('retiring')
  // In place the target has nothing more to lose: what follows may be repeated from any earlier state, so it needs no record first.
  if (!run.plan.oldDiesAtInstall) {
    progress.attempt_step = 'retire'
    progress.attempt_opened_at = run.now()
    await run.commit({ goOn: true })
  }
  await run.trap('retiring')
  return 'go'
}
