import { isNoAccount } from '../connectors/contract.ts'
import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isCode, type Json, messageOf, RekeyError } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { claimRechecks, finishRecheck, keepProbe, lockIfSettled } from './rotation.recheck.store.ts'
import { endAndCompare, endOld, installAgain, takeAway } from './rotation.retire.ts'
import { lastProbe, type Pair, probeData, probePair, type RotationParts, Run } from './rotation.run.ts'
import { loadWork, type Work } from './rotation.store.ts'

/** Looked at in one go; each is a short statement on its system and, where an account has the new value, two logins. */
const AT_ONCE = 100

/**
 * A login that had begun before the old value died may still end well within the system's login window (PostgreSQL reads the verifier
 * when a login begins and gives it a minute), and its session is visible only then. So when the window has passed, sessions that
 * count as older than the change are ended once more, and evidence says how many there were. Such a session may have given the account
 * its old value back, or of a pair another one: that is looked for, put right, told, and looked for once more a minute later. Resolves with
 * how many were looked at; one that could not be reached is looked at again a minute later.
 */
export async function recheckDue(parts: RotationParts, ctx: Ctx): Promise<number> {
  const ids = await claimRechecks(parts.store, AT_ONCE)
  if (ids.length === 0) return 0
  for (const work of await loadWork(parts.store, ids)) {
    try {
      await recheck(parts, ctx, work)
    } catch (error) {
      ctx.log.warn({ rotation: work.id, error: messageOf(error) }, 'late sessions could not be looked for, trying again')
    }
  }
  return ids.length
}

const NOTHING_ENDED = { ended: 0, holds: null }

async function recheck(parts: RotationParts, ctx: Ctx, work: Work): Promise<void> {
  const run = new Run(parts, ctx, work)
  await run.open()
  // Of a pair too: the account may carry a newer value again, so only what is older than the retirement goes.
  const mark = work.progress.retire_mark ?? work.progress.mark
  // A retired account of a pair should have no value. In place both values are tried below, so there it is not asked.
  const { ended: sessionsEnded, holds } = mark === null ? NOTHING_ENDED : await endAndCompare(run, mark, null)
  const wasSet = await (run.plan.otherAccount ? putRightPair(run, holds) : putRightSame(run))
  if (wasSet) return
  await parts.store.inTx(async (tx) => {
    if (await finishRecheck(tx, work.id)) await append(tx, ctx, [told(run, 'rotation.rechecked', { sessionsEnded })])
  })
}

function told({ work }: Run, type: string, data: { readonly [key: string]: Json }): EvidenceEvent {
  const links = { credential: work.credential.id, rotation: work.id, system: work.system.id, from: work.old.id }
  return { log: 'credential', type, subject: work.credential.name, links, data }
}

/**
 * True if the old value was accepted again, or the new one is refused, which whoever had such a session may have brought about with a value
 * of their own: then the new one was installed once more, and the old one is refused. Where the system does not let that be done, or it
 * does not help (the account was dropped or has expired), it is told that the value in use is refused (`rotation.value_refused`).
 */
async function putRightSame(run: Run): Promise<boolean> {
  if (run.work.fresh?.sealed == null) return false
  const first = await probePair(run)
  if (first.old.outcome !== 'accepted' && first.control.outcome !== 'refused') return false
  return run.parts.store.inTx(async (tx) => {
    // No rotation begins while the credential is locked, so no newer value is written over.
    if (!(await lockIfSettled(tx, run.work.id))) return false
    const again = await installedAgain(run)
    if (!('ended' in again)) {
      await tellRefused(tx, run, first.control, again.because)
      return false
    }
    const { old, control } = await probePair(run)
    if (old.outcome !== 'accepted' && control.outcome === 'refused') {
      await tellRefused(tx, run, control, 'it was installed once more, and is refused all the same')
      return false
    }
    if (old.outcome === 'accepted' || control.outcome !== 'accepted') {
      throw new RekeyError(
        'target_conflict',
        `The value was set again: the old one is ${old.outcome} and the new one ${control.outcome} after it was installed once more.`,
      )
    }
    const data = { old: probeData(old), control: probeData(control), sessionsEnded: again.ended }
    await append(tx, run.ctx, [told(run, 'rotation.set_back', data)])
    return true
  })
}

/** The value in use is refused: on record, with its probe, so that it is a finding until it is accepted again. */
async function tellRefused(tx: Tx, run: Run, control: Pair['control'], because: string): Promise<void> {
  const { credential, system } = run.work
  const { version } = run.fresh()
  const links = { credential: credential.id, version: version.id, system: system.id }
  const { outcome, code } = control
  const probed: EvidenceEvent = {
    ...{ log: 'credential', type: 'version.probed', subject: credential.name, links },
    data: { version: version.number, outcome, code },
    at: control.at,
  }
  await append(tx, run.ctx, [told(run, 'rotation.value_refused', { control: probeData(control), because }), probed])
  await keepProbe(tx, version.id, { ...lastProbe(control), where: system.place })
}

/** How many sessions ended with it, or why the system does not let it be done. Throws what may be otherwise in a minute. */
async function installedAgain(run: Run): Promise<{ readonly ended: number } | { readonly because: string }> {
  try {
    const { ended } = await installAgain(run)
    if (!run.plan.oldDiesAtInstall) await takeAway(run)
    return { ended }
  } catch (error) {
    if (isCode(error, 'target_conflict') || isCode(error, 'target_refused_by_policy')) return { because: error.message }
    throw error
  }
}

/** True if the account that was retired had a value again: it was taken away, and sessions that were opened with it are ended. */
async function putRightPair(run: Run, holdsNone: boolean | null): Promise<boolean> {
  const { account } = run.work.old
  if (holdsNone === true) return false
  return run.parts.store.inTx(async (tx) => {
    if (!(await lockIfSettled(tx, run.work.id))) return false
    try {
      const { ended } = await endOld(run, await takeAway(run))
      // Where nobody can look whether it had one, it is taken away in silence.
      if (holdsNone === false) await append(tx, run.ctx, [told(run, 'rotation.set_back', { account, sessionsEnded: ended })])
    } catch (error) {
      if (!isNoAccount(error)) throw error
      return false
    }
    return holdsNone === false
  })
}
