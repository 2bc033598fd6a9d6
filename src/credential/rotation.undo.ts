import { RekeyError } from '../kernel/index.ts'
import { dropFiles, prepare, writeFiles } from './rotation.distribute.ts'
import { probeData, probePair, type Run, type StepResult } from './rotation.run.ts'

/** Puts the old value back, takes the new one away, and shows both: old accepted, new refused. */
export async function undo(run: Run): Promise<StepResult> {
  run.checkClaim()
  if (run.work.fresh === null) return endUndone(run, {})
  await dropFiles(run)
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
  if ((known && pair.old.outcome !== 'accepted') || pair.control.outcome !== 'refused') {
    throw new RekeyError('target_unreachable', `After undo the old value is ${pair.old.outcome} and the new one ${pair.control.outcome}.`, {
      hint: 'Both values are kept. It is tried again by itself, or run: rekey rotation retry',
    })
  }
  run.change({ id: version.id, state: 'void', revoked_at: run.now(), proved_dead_at: run.now(), shred_after: run.now() })
  run.change({ id: run.work.old.id, state: 'current' })
  return endUndone(run, { old: probeData(pair.old), new: probeData(pair.control), sessionsEnded })
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
  run.progress.problem = { reason: 'undone: the old value is in use again' }
  run.progress.attempt_step = null
  run.progress.tries = 0
  run.rescheduleAtEnd()
  run.move('undone', data)
  await run.commit({ dueMs: null })
  return 'end'
}
