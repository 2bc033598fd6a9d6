/** A credential that is somebody else's, of which who leaves knows the value. It is rotated, and nothing of it is ever stopped. */
import { type ItemState, LOGINS_STOPPED, nextItem } from './closure.model.ts'
import { finish, handOver, type ItemResult, type ItemRun } from './closure.run.ts'

const MEND =
  'Rotate it, or end it where it lives: then it ends by itself. To let Rekey try again: rekey closure retry. ' +
  'If nobody can revoke it: rekey closure resolve --irrevocable'

/** What stands in the way of its rotation, given to a human; null: nothing does. */
export async function beforeRotation(run: ItemRun): Promise<ItemResult | null> {
  const { work } = run
  const ended = await endReplaced(run)
  if (ended !== null) return ended
  if (work.way === 'hand_over') return handOver(run, { reason: work.why, hint: MEND })
  return work.credential.closed ? waitForOwner(run) : null
}

/** Whoever's it is is suspended or leaves: its value works for nobody now, and is rotated as soon as it would work again. */
export function waitForOwner(run: ItemRun): Promise<ItemResult> {
  const reason = 'Its logins are stopped by a closure of its own: it is rotated when they are given back, and is done when they are ended.'
  const hint = 'See rekey closure list. Nothing is to be done but to bring that closure to its end.'
  return handOver(run, { reason, hint, code: LOGINS_STOPPED })
}

/**
 * Ends it where no value that could authenticate is left of those that who leaves may know: somebody has rotated it since, or another
 * closure has ended it. Null: one is left. Every value counts that no rotation has made which was planned after the identity had left.
 */
export async function endReplaced(run: ItemRun): Promise<ItemResult | null> {
  const { work, progress } = run
  if (work.relation === 'own' || work.stale) return null
  const end = endOf(work.known, work.versions.length > 0)
  if (progress.state === 'planned') run.move('rotating', { why: work.why })
  // From a human's hands only the human's own word leads to an end that proves nothing.
  if (!nextItem(work.relation)[progress.state].includes(end)) return { waitMs: null }
  run.close()
  const dead = work.known.flatMap(({ provedDeadAt }) => (provedDeadAt === null ? [] : [new Date(provedDeadAt).getTime()]))
  if (end === 'proven_dead' && dead.length > 0) progress.proved_dead_at = new Date(Math.max(...dead))
  // The proof is on record where it was made.
  const reason = end === 'rotated' ? 'It was rotated otherwise meanwhile.' : 'It was ended otherwise meanwhile.'
  run.move(end, { reason, known: work.known.map(({ id, state }) => ({ id, state })) })
  return finish(run)
}

/** By what became of the values that could authenticate when it was planned; `lives`: it has others now. */
function endOf(known: ItemRun['work']['known'], lives: boolean): ItemState {
  const states = new Set(known.map(({ state }) => state))
  if (states.has('irrevocable')) return 'irrevocable'
  if (states.has('unprovable')) return 'not_provable'
  return lives ? 'rotated' : 'proven_dead'
}
