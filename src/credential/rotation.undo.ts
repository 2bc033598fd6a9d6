import { RekeyError } from '../kernel/index.ts'
import { dropFiles, prepare, writeFiles } from './rotation.distribute.ts'
import { lastProbe, noteFact, probeData, probePair, type Run, type StepResult } from './rotation.run.ts'

/** Puts the old value back, takes the new one away, and shows both: old accepted, new refused. */
export async function undo(run: Run): Promise<StepResult> {
  run.checkClaim()
  if (run.work.fresh === null) return endUndone(run, {})
  await dropFiles(run)
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
      hint: 'Both values are kept. It is tried again by itself, or run: rekey rotation retry',
    })
  }
  run.change({ id: version.id, state: 'void', revoked_at: run.now(), proved_dead_at: run.now(), shred_after: run.now() })
  run.change({ id: run.work.old.id, state: 'current', ...(known ? { last_probe: lastProbe(pair.old) } : {}) })
  run.progress.problem = { reason: 'undone: the old value is in use again' }
  return endUndone(run, { old: probeData(pair.old), new: probeData(pair.control), sessionsEnded })
}

/**
 * True if the account has neither value: the new one was never installed, and the one held as old never worked. In place, putting that
 * one "back" would kill whatever value the account has, and its consumers with it. Throws if the target does not say.
 */
async function isUntouched(run: Run): Promise<boolean> {
  const { work, progress } = run
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

/** The new value is kept for as long as a dead one: should a call of which no answer came have installed it after all, it is not lost. */
async function endUntouched(run: Run): Promise<StepResult> {
  const shredAfter = new Date(run.now().getTime() + run.parts.shredAfterSeconds * 1000)
  run.change({ id: run.fresh().version.id, state: 'void', shred_after: shredAfter })
  run.progress.problem = { reason: 'undone: the account was left as it was; it has neither the value held as the old one nor the new one' }
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
