import type { Logins, Probe, Target } from '../connectors/contract.ts'
import { type Json, RekeyError } from '../kernel/index.ts'
import { endOfVersion, type ItemState } from './closure.model.ts'
import { finish, handOver, type ItemResult, type ItemRun, type Tried } from './closure.run.ts'
import { followRotation, holdRotation, LIVE_PATIENCE_MS, lookAgain, rotate, unparkLive } from './closure.wait.ts'
import { probeData } from './rotation.run.ts'
import type { KeptProbe } from './rotation.store.ts'
import { endTakenOver } from './rotation.takeover.ts'

/** The steps, by the state that they leave. What is missing is left by nobody but a human, or never. */
export const ITEM_STEPS: Readonly<Partial<Record<ItemState, (run: ItemRun) => Promise<ItemResult>>>> = {
  planned: begin,
  rotating: followRotation,
  handed_over: lookAgain,
  suspending: suspend,
  suspended: decide,
  resuming: resume,
  destroying: destroy,
  destroyed: prove,
}

/** The four calls, present wherever the connector declares a suspension. */
function calls({ target }: ItemRun) {
  const { suspend, resume, destroy, logins } = target
  if (!suspend || !resume || !destroy || !logins) throw new RekeyError('target_unsupported', 'The connector declares more than it can do.')
  return {
    suspend: suspend.bind(target),
    resume: resume.bind(target),
    destroy: destroy.bind(target),
    logins: logins.bind(target),
  } satisfies Partial<Target>
}

async function begin(run: ItemRun): Promise<ItemResult> {
  const { work } = run
  if (work.closure.goal === 'resume') {
    run.move('resumed', { untouched: true })
    run.shut(false)
    return finish(run, unparkLive(run))
  }
  if (work.relation !== 'own') return rotate(run)
  if (work.way === 'hand_over') {
    const hint =
      'End it by hand where it lives, then say so: rekey closure resolve --irrevocable, or mend the cause and: rekey closure retry'
    return handOver(run, { reason: work.why, hint })
  }
  return work.way === 'rotate' ? rotate(run) : lookFirst(run)
}

/** Before anything is touched: which accounts may log in, and whether the values that are held are right at all. */
async function lookFirst(run: ItemRun): Promise<ItemResult> {
  const { work, progress } = run
  run.suspension()
  const held = await holdRotation(run, LIVE_PATIENCE_MS)
  if (held !== null) return held
  const [tried, logins] = await Promise.all([run.tryValues(), loginsOf(run)])
  refuseUnreached(tried)
  progress.found = {
    open: Object.fromEntries(logins.map(({ account, logins: { exists, open } }) => [account, exists ? open : false])),
    seen: Object.fromEntries(tried.map(({ version, probe }) => [version.id, probe.outcome])),
    place: work.system.place,
    before: tried
      .filter(({ version, probe }) => version.seen === 'accepted' && probe.outcome !== 'accepted')
      .map(({ version }) => version.id),
  }
  progress.problem = null
  run.attempt('suspend')
  run.shut(true)
  run.move('suspending', { accounts: [...work.credential.accounts], values: told(tried) })
  await run.commit({ goOn: true })
  return 'go'
}

/** Stops the logins and ends the sessions; done again it changes nothing. */
async function suspend(run: ItemRun): Promise<ItemResult> {
  run.checkClaim()
  await run.trap('before_suspend')
  await onAccounts(run, calls(run).suspend)
  await run.trap('after_suspend')
  const ended = await endSessions(run)
  // Where the end follows at once, its proof says all of this and more.
  const goesOn = run.work.closure.goal === 'destroy' && isDue(run)
  const seen = goesOn ? {} : await witness(run)
  run.close()
  run.progress.suspended_at = run.now()
  run.progress.sessions_ended += ended
  run.move('suspended', { sessionsEnded: ended, ...seen })
  return 'go'
}

function isDue(run: ItemRun): boolean {
  const { destroyAt } = run.work.closure
  return destroyAt !== null && destroyAt <= run.now()
}

/** Suspended: what next is the goal's matter. */
async function decide(run: ItemRun): Promise<ItemResult> {
  const { work, progress } = run
  const { goal, destroyAt } = work.closure
  if (goal === 'suspend') return { waitMs: null }
  if (goal === 'resume') {
    if (work.versions.some(({ state, leaked }) => leaked && state === 'current')) {
      const hint = 'It stays suspended. Offboard the identity, or declare a new value for it.'
      await run.stop('blocked', { reason: 'Somebody said that its value is out, so it is not given back.', hint })
      return { waitMs: null }
    }
    run.attempt('resume')
    run.move('resuming')
    await run.commit({ goOn: true })
    return 'go'
  }
  if (!isDue(run)) return { waitMs: destroyAt === null ? null : destroyAt.getTime() - run.now().getTime() }
  progress.problem = null
  return startDestroying(run)
}

/** A rotation that still has the account ends with the move: from here on the closure alone answers for every value it has made. */
async function startDestroying(run: ItemRun): Promise<ItemResult> {
  const held = await holdRotation(run, 0)
  if (held !== null) return held
  const { live, closure } = run.work
  run.attempt('destroy')
  run.move('destroying', live === null ? {} : { takenOver: live.id })
  const why = `closure ${closure.id} ends its account`
  await run.commit({ goOn: true }, live === null ? null : (tx) => endTakenOver(tx, run.ctx, live.id, why))
  return 'go'
}

/** Opens what was open before, and shows that the same value works again. */
async function resume(run: ItemRun): Promise<ItemResult> {
  run.checkClaim()
  const { progress, work } = run
  if (work.closure.goal === 'destroy') return startDestroying(run)
  if (work.closure.goal === 'suspend') {
    run.attempt('suspend')
    run.move('suspending')
    await run.commit({ goOn: true })
    return 'go'
  }
  await run.trap('before_resume')
  const was = progress.found?.open ?? {}
  await onAccounts(run, async (ctx, account) => {
    if (was[account] !== false) await calls(run).resume(ctx, account)
  })
  await run.trap('after_resume')
  const tried = await run.tryValues()
  refuseUnreached(tried)
  const seen = progress.found?.seen ?? {}
  const lost = tried.find(({ version, probe }) => seen[version.id] === 'accepted' && probe.outcome !== 'accepted')
  if (lost !== undefined) {
    throw new RekeyError('target_conflict', `The account is open again, and its value is ${lost.probe.outcome} (${lost.probe.code}).`, {
      hint: 'Look at the account on the system, then run: rekey closure retry',
    })
  }
  run.close()
  progress.resumed_at = run.now()
  run.shut(false)
  const before = progress.found?.before ?? []
  for (const { version, probe } of tried)
    if (probe.outcome === 'accepted' || (version.state === 'current' && !before.includes(version.id)))
      run.change({ id: version.id, state: version.state, last_probe: lastProbe(run, probe) })
  run.move('resumed', { values: told(tried) })
  return finish(run, unparkLive(run))
}

/** Takes every value from the accounts. What they own and were granted stays. */
async function destroy(run: ItemRun): Promise<ItemResult> {
  run.checkClaim()
  await run.trap('before_destroy')
  await onAccounts(run, calls(run).destroy)
  await run.trap('after_destroy')
  const ended = await endSessions(run)
  run.close()
  run.progress.destroyed_at = run.now()
  run.progress.sessions_ended += ended
  for (const { id, state } of run.work.versions) run.change({ id, state, revoked_at: run.now() })
  run.move('destroyed', { accounts: [...run.work.credential.accounts], sessionsEnded: ended })
  return 'go'
}

/** The proof of death without a successor: every value refused, root accepted at the same moment, no session, and the system says so. */
async function prove(run: ItemRun): Promise<ItemResult> {
  run.checkClaim()
  const { work, progress } = run
  const at = run.now()
  const seen = await witness(run)
  await run.trap('before_proof')
  // What was accepted at another place says nothing of a refusal here.
  const here = (progress.found?.place ?? work.system.place) === work.system.place
  const { seen: known = {}, before = [] } = (here ? progress.found : null) ?? {}
  const ends = Map.groupBy(work.versions, ({ id, state }) => endOfVersion({ state, seen: known[id], workedBefore: before.includes(id) }))
  const { dead = [], unprovable: doubtful = [], void: unused = [] } = Object.fromEntries(ends)
  const provedAt = run.now()
  const shredAfter = new Date(provedAt.getTime() + run.parts.shredAfterSeconds * 1000)
  for (const { id } of dead) {
    run.change({ id, state: 'dead', effective_dead_at: at, proved_dead_at: provedAt, shred_after: shredAfter })
  }
  for (const { id } of doubtful) run.change({ id, state: 'unprovable', shred_after: shredAfter })
  for (const { id } of unused) run.change({ id, state: 'void', shred_after: shredAfter })
  const data = {
    ...seen,
    versions: dead.map(({ id }) => id),
    unprovable: doubtful.map(({ id }) => id),
    revokedAt: (progress.destroyed_at ?? provedAt).toISOString(),
    effectiveDeadAt: at.toISOString(),
    provedDeadAt: provedAt.toISOString(),
    sessionsEnded: progress.sessions_ended,
  }
  if (dead.length > 0 && doubtful.length === 0) {
    progress.proved_dead_at = provedAt
    run.move('proven_dead', data)
  } else {
    const reason = 'The account is ended, but its value was not known or not accepted before, so nothing shows that it is dead.'
    progress.problem = { reason }
    run.move('not_provable', { ...data, reason })
  }
  return finish(run)
}

async function onAccounts(run: ItemRun, call: (ctx: ItemRun['ctx'], account: string) => Promise<void>): Promise<void> {
  for (const { account, logins } of await loginsOf(run)) if (logins.exists) await call(run.ctx, account)
}

function loginsOf(run: ItemRun): Promise<{ readonly account: string; readonly logins: Logins }[]> {
  const { logins } = calls(run)
  return Promise.all(run.work.credential.accounts.map(async (account) => ({ account, logins: await logins(run.ctx, account) })))
}

async function endSessions(run: ItemRun): Promise<number> {
  let ended = 0
  for (const account of run.work.credential.accounts) ended += await run.target.endSessions(run.ctx, account)
  return ended
}

function refuseUnreached(tried: readonly Tried[]): void {
  const lost = tried.find(({ probe }) => probe.outcome === 'unreachable')
  if (lost !== undefined) throw new RekeyError('target_unreachable', `A login was not answered (${lost.probe.code}).`)
}

/**
 * Sees that nobody gets in: every value that is held is answered with a refusal that is about this account, root gets in at the same
 * moment by the same way, the system says that the accounts are shut, and no session is left. Throws where one of these is missing.
 */
async function witness(run: ItemRun): Promise<{ readonly [key: string]: Json }> {
  const { answers } = run.suspension()
  const [tried, control, logins] = await Promise.all([run.tryValues(), run.tryControl(), loginsOf(run)])
  if (control.outcome !== 'accepted') {
    throw new RekeyError('target_unreachable', `The control login of root is ${control.outcome} (${control.code}), so nothing is proven.`)
  }
  const known = tried.filter(({ probe }) => probe.code !== 'value_unknown')
  for (const { version, probe } of known) {
    if (probe.outcome === 'accepted') throw new RekeyError('target_conflict', `Version ${version.number} is still accepted.`)
    if (probe.outcome !== 'refused' && !answers.includes(probe.code)) {
      throw new RekeyError('target_unreachable', `A login with version ${version.number} is ${probe.outcome} (${probe.code}).`)
    }
  }
  for (const { account, logins: seen } of logins) {
    if (seen.open === true) throw new RekeyError('target_conflict', 'The system says that the account may still log in.')
    if (seen.open === null && !known.some(({ version }) => version.account === account)) {
      throw new RekeyError('target_not_authorised', 'Root may not see whether the account may log in.')
    }
  }
  const left = await Promise.all(run.work.credential.accounts.map((account) => run.target.sessions(run.ctx, account)))
  const sessionsLeft = left.flat().length
  if (sessionsLeft > 0) {
    await endSessions(run)
    throw new RekeyError('target_conflict', `${sessionsLeft} sessions are still open.`)
  }
  // Of a value that a rotation took away, its refusal now says nothing new, and that it once worked must stay on record: it may go on.
  const kept = run.state === 'destroyed' ? [] : (run.progress.found?.before ?? [])
  for (const { version, probe } of known.filter(({ version }) => !kept.includes(version.id)))
    run.change({ id: version.id, state: version.state, last_probe: lastProbe(run, probe) })
  const accounts = Object.fromEntries(logins.map(({ account, logins: { exists, open } }) => [account, exists ? open : 'gone']))
  return { values: told(tried), control: probeData(control), mayLogIn: accounts, sessionsLeft }
}

function lastProbe(run: ItemRun, { outcome, code }: Probe): KeptProbe {
  return { outcome, code, at: run.now().toISOString(), where: run.work.system.place }
}

function told(tried: readonly Tried[]): Json {
  return tried.map(({ version, probe }) => ({ version: version.number, ...probeData(probe) }))
}
