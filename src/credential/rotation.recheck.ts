import { isNoAccount } from '../connectors/contract.ts'
import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, type Json, messageOf, RekeyError } from '../kernel/index.ts'
import { claimRechecks, finishRecheck, lockIfSettled } from './rotation.recheck.store.ts'
import { endAndCompare, endOld, installAgain, takeAway } from './rotation.retire.ts'
import { type Pair, probeData, probePair, type RotationParts, Run } from './rotation.run.ts'
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

/** True if the old value was accepted again: then the new one was installed once more, and the old one is refused. */
async function putRightSame(run: Run): Promise<boolean> {
  if (run.work.fresh?.sealed == null || !isSetBack(await probePair(run))) return false
  return run.parts.store.inTx(async (tx) => {
    // No rotation begins while the credential is locked, so no newer value is written over.
    if (!(await lockIfSettled(tx, run.work.id))) return false
    const { ended } = await installAgain(run)
    if (!run.plan.oldDiesAtInstall) await takeAway(run)
    const { old, control } = await probePair(run)
    if (old.outcome !== 'refused' || control.outcome !== 'accepted') {
      throw new RekeyError(
        'target_conflict',
        `The old value was set again, and is ${old.outcome} after the new one was installed once more.`,
      )
    }
    await append(tx, run.ctx, [told(run, 'rotation.set_back', { old: probeData(old), control: probeData(control), sessionsEnded: ended })])
    return true
  })
}

const isSetBack = ({ old, control }: Pair) => old.outcome === 'accepted' && control.outcome === 'refused'

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
