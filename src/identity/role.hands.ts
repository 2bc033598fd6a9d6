/** Directory rights and credential rights stay in different hands, person by person, unless somebody says why not. */
import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, RekeyError, someOf } from '../kernel/index.ts'
import { FORCED_REASON_CHARS, type PolicySet } from '../policy/index.ts'
import type { Tx } from '../store/index.ts'
import * as rows from './role.hands.store.ts'

/** Whether both hands may come together here, and why. */
export interface Force {
  readonly force: boolean
  readonly reason: string
}

/** Names in one message, ids in one event: each stays far below its bound. */
const NAMED = 5
const IDS_AN_EVENT = 500

/** The end of what is said of those who hold both already, by a role of which its policy says why. */
export const WITHOUT_WHOLE = ', also without a role meant for both'

/**
 * Does `change`, in the caller's transaction and under the lock on policies, and looks at whom it gives both hands who did not hold them
 * before: through roles of their own, of their teams through any nesting, of tokens that are theirs, act for them or that they made (a
 * directory's too), and
 * through all that of other identities of the same human. Who held both only with what a directory provider alone gave, which does not
 * count, did not hold them; with `by hand`, who comes to hold them only so does not either. Resolves with what it made, and those people's
 * ids. Throws `wrong_state` if there are any and it is not forced, `bad_input` for a short reason; nothing is to be kept then.
 */
export async function keepApart<T>(
  tx: Tx,
  ctx: Ctx,
  set: PolicySet,
  why: Force,
  change: () => Promise<T>,
  counts: 'any' | 'by hand' = 'any',
): Promise<{ readonly made: T; readonly people: readonly string[] }> {
  const before = await rows.bothHanded(tx, set.policies)
  const made = await change()
  const after = await rows.bothHanded(tx, set.policies)
  const fresh = rows.newlyHeld(before, after).filter(({ made: byHand }) => counts === 'any' || byHand)
  if (fresh.length > 0) {
    const names = fresh.map(({ name }) => name)
    const also = fresh.every(({ human }) => before.some((one) => one.human === human && one.whole)) ? WITHOUT_WHOLE : ''
    requireForce(why, `${someOf(names, NAMED)} would hold directory rights and credential rights together${also}.`)
  }
  const ids = fresh.map(({ id }) => id)
  await rows.noteForced(tx, ctx, ids, why.reason)
  await dropAllBut(tx, after)
  return { made, people: ids }
}

/** Who does not hold both any more is forced anew the next time. For changes that `keepApart` does not see. */
export async function settleForced(tx: Tx, set: PolicySet): Promise<void> {
  await dropAllBut(tx, await rows.bothHanded(tx, set.policies))
}

async function dropAllBut(tx: Tx, holders: readonly rows.BothHanded[]): Promise<void> {
  await rows.dropForced(tx, holders)
}

/** Throws `wrong_state` with these words unless it is forced, and `bad_input` if the reason has less than 10 characters. */
export function requireForce({ force, reason }: Force, words: string): void {
  if (!force) {
    throw new RekeyError('wrong_state', words, { hint: 'Leave them in different hands, or force it with a reason.' })
  }
  if (reason.trim().length < FORCED_REASON_CHARS) {
    throw new RekeyError('bad_input', `The reason has at least ${FORCED_REASON_CHARS} characters.`)
  }
}

/** Tells who holds both hands from now on, and why (`role.forced`). */
export async function tellForced(
  tx: Tx,
  ctx: Ctx,
  event: Pick<EvidenceEvent, 'subject' | 'links'> & { readonly to: string; readonly reason: string },
  people: readonly string[],
): Promise<void> {
  const { subject, links, to, reason } = event
  const parts = people.length === 0 ? [[]] : Array.from({ length: Math.ceil(people.length / IDS_AN_EVENT) }, (_, n) => partOf(people, n))
  const data = (part: readonly string[]) => ({ to, reason, ...(part.length === 0 ? {} : { identities: [...part] }) })
  await append(
    tx,
    ctx,
    parts.map((part): EvidenceEvent => ({ log: 'identity', type: 'role.forced', subject, ...(links && { links }), data: data(part) })),
  )
}

function partOf(people: readonly string[], n: number): readonly string[] {
  return people.slice(n * IDS_AN_EVENT, (n + 1) * IDS_AN_EVENT)
}
