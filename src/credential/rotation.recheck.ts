import { append } from '../evidence/index.ts'
import { type Ctx, messageOf } from '../kernel/index.ts'
import type { RotationParts } from './rotation.run.ts'
import { claimRechecks, finishRecheck, loadWork, type Work } from './rotation.store.ts'

/** Looked at in one go; each is one short statement on its system. */
const AT_ONCE = 100

/**
 * A login that had begun before the old value died may still end well within the system's login window (PostgreSQL reads the verifier
 * when a login begins and gives it a minute), and its session is visible only then. So when the window has passed, sessions that
 * count as older than the change are ended once more, and evidence says how many there were. Resolves with how many were looked at;
 * one that could not be reached is looked at again a minute later.
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

async function recheck(parts: RotationParts, ctx: Ctx, work: Work): Promise<void> {
  const target = await parts.targets.of(parts.store, work.system, work.root)
  // Of a pair too: the account may carry a newer value again, so only what is older than the retirement goes.
  const mark = work.progress.retire_mark ?? work.progress.mark
  const sessionsEnded = mark === null ? 0 : await target.endSessions(ctx, work.old.account, mark)
  await parts.store.inTx(async (tx) => {
    if (!(await finishRecheck(tx, work.id))) return
    const links = { credential: work.credential.id, rotation: work.id, system: work.system.id, from: work.old.id }
    await append(tx, ctx, [
      { log: 'credential', type: 'rotation.rechecked', subject: work.credential.name, links, data: { sessionsEnded } },
    ])
  })
}
