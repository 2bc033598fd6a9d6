import { isNoAccount } from '../connectors/contract.ts'
import { RekeyError } from '../kernel/index.ts'
import { dropFiles, prepare, writeFiles } from './rotation.distribute.ts'
import { ACCOUNT_ABSENT, UNDO_TOO_LATE } from './rotation.model.ts'
import { lastProbe, laterShred, noteFact, probeData, probePair, type Run, type StepResult } from './rotation.run.ts'

/** Puts the old value back, takes the new one away, and shows both: old accepted, new refused. */
export async function undo(run: Run): Promise<StepResult> {
  run.checkClaim()
  if (run.work.fresh === null) return endUndone(run, {})
  await dropFiles(run)
  if (await isAbsent(run)) return endAbsent(run)
  if (await isUntouched(run)) return endUntouched(run)
  // While both are accepted the files go back first, so that none ever holds a refused value; in-place all but the rename is done before.
  if (run.plan.oldDiesAtInstall) await prepare(run, run.work.old)
  else await writeFiles(run, run.work.old)
  await run.trap('before_undo')
  const mark = await takeBack(run)
  await run.trap('after_undo')
  await writeFiles(run, run.work.old)
  const { version } = run.fresh()
  const sessionsEnded = await run.target.endSessions(run.ctx, version.account, run.plan.otherAccount ? undefined : mark)
  const pair = await probePair(run)
  const known = run.valueOf(run.work.old) !== null
  noteFact(run, version, pair.control)
  if ((known && pair.old.outcome !== 'accepted') || pair.control.outcome !== 'refused') {
    throw new RekeyError('target_unreachable', `After undo the old value is ${pair.old.outcome} and the new one ${pair.control.outcome}.`, {
      hint: 'Both values are kept. Look at the account on the system.',
    })
  }
  // Kept for as long as every dead value: rather once too often than that a system has a value which nobody knows.
  run.change({ id: version.id, state: 'void', revoked_at: run.now(), proved_dead_at: run.now(), shred_after: laterShred(run) })
  run.change({ id: run.work.old.id, state: 'current', ...(known ? { last_probe: lastProbe(pair.old) } : {}) })
  run.progress.problem = { reason: 'undone: the old value is in use again' }
  return endUndone(run, { old: probeData(pair.old), new: probeData(pair.control), sessionsEnded })
}

/**
 * True if the system itself, asked with root rights, says that the account of the new value does not exist: then no value of it can be
 * accepted. A login says less (a refusal looks the same, and on MariaDB another account may answer it), and every other answer nothing.
 */
async function isAbsent(run: Run): Promise<boolean> {
  if (!run.parts.targets.connectorFor(run.work.system.connector).describe().canListGrants) return false
  try {
    await run.target.listGrants(run.ctx, run.fresh().version.account)
    return false
  } catch (error) {
    return isNoAccount(error)
  }
}

/** Of a pair the other account still has the old value, and the files go back to it. On one account nothing is left to put back. */
async function endAbsent(run: Run): Promise<StepResult> {
  const { old } = run.work
  const { version } = run.fresh()
  const same = old.account === version.account
  if (!same && run.valueOf(old) !== null) await writeFiles(run, old)
  const absent = { outcome: 'refused' as const, code: ACCOUNT_ABSENT, at: run.now().toISOString() }
  run.change({ id: version.id, state: 'void', shred_after: laterShred(run), last_probe: absent })
  run.change({ id: old.id, state: 'current', ...(same ? { last_probe: absent } : {}) })
  run.progress.problem = {
    reason: `undone: the account ${version.account} does not exist on the system`,
    hint: 'If its name is wrong, correct it in the fleet file and run: rekey apply',
  }
  return endUndone(run, { absent: version.account })
}

/**
 * True if the account has neither value: the new one was never installed, and the one held as old never worked. In place, putting that
 * one "back" would kill whatever value the account has, and its consumers with it. Throws if the target does not say.
 */
async function isUntouched(run: Run): Promise<boolean> {
  const { work, progress } = run
  if (progress.installed_at === null && run.valueOf(work.old) === null) return isTakeoverUntouched(run)
  if (!run.plan.oldDiesAtInstall || progress.installed_at !== null || work.old.seen === 'accepted' || run.valueOf(work.old) === null)
    return false
  const { old, control } = await probePair(run)
  noteFact(run, work.old, old)
  noteFact(run, run.fresh().version, control)
  for (const { outcome, code } of [old, control]) {
    if (outcome !== 'accepted' && outcome !== 'refused') {
      throw new RekeyError('target_unreachable', `A login is ${outcome} (${code}), so it is not known which value the account has.`)
    }
  }
  return old.outcome === 'refused' && control.outcome === 'refused'
}

/**
 * A takeover whose new value is not on record as installed. If its login is refused, nothing was changed and it can be given up. If it
 * is accepted, a call without an answer installed it: nobody has the value before it, so where that would be needed only going on helps.
 */
async function isTakeoverUntouched(run: Run): Promise<boolean> {
  const { version, secret } = run.fresh()
  const probe = { ...(await run.probe(version.account, secret)), at: run.now() }
  noteFact(run, version, probe)
  if (probe.outcome === 'refused') return true
  if (probe.outcome !== 'accepted') {
    throw new RekeyError(
      'target_unreachable',
      `A login is ${probe.outcome} (${probe.code}), so it is not known which value the account has.`,
    )
  }
  if (!run.plan.oldDiesAtInstall && run.work.consumers.every(({ path }) => path === null)) return false
  throw new RekeyError('conflict', 'The new value is installed already, and the one before it is not known, so it cannot be put back.', {
    hint: 'Let the rotation go on: rekey rotation retry',
    detail: UNDO_TOO_LATE,
  })
}

/** The new value is kept for as long as a dead one: should a call of which no answer came have installed it after all, it is not lost. */
async function endUntouched(run: Run): Promise<StepResult> {
  run.change({ id: run.fresh().version.id, state: 'void', shred_after: laterShred(run) })
  const known = run.valueOf(run.work.old) !== null
  const has = known ? 'neither the value held as the old one nor the new one' : 'not the new value'
  run.progress.problem = { reason: `undone: the account was left as it was; it has ${has}` }
  return endUndone(run, { untouched: true })
}

async function takeBack(run: Run): Promise<string> {
  const { work, plan } = run
  const { version, secret } = run.fresh()
  const old = run.valueOf(work.old)
  const strategy = work.credential.strategy
  if (!plan.oldDiesAtInstall) {
    const order = { strategy, account: version.account, old: secret, keep: plan.otherAccount ? null : old }
    return (await run.target.retire(run.ctx, order)).mark
  }
  if (old === null) {
    throw new RekeyError('conflict', 'The old value is not known, so it cannot be put back.', {
      hint: 'Let the rotation go on: rekey rotation retry',
      detail: 'undo_unknown',
    })
  }
  return (await run.target.install(run.ctx, { account: work.old.account, strategy, secret: old, current: secret })).mark
}

async function endUndone(run: Run, data: Parameters<Run['move']>[1]): Promise<StepResult> {
  run.progress.attempt_step = null
  run.progress.tries = 0
  run.rescheduleAtEnd()
  run.move('undone', data)
  await run.commit({ dueMs: null })
  return 'end'
}
