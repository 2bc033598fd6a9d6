import { beginAnswer, finishAnswer, releaseAnswer } from '../identity/index.ts'
import { type Ctx, isCode, type Json, RekeyError, sleep } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import type { Answer } from './route.ts'

/** How long the second of two equal requests waits for the first one's answer. */
const PATIENCE_MS = 20_000
const LOOK_AGAIN_MS = 50

interface Request {
  /** As `keyOwner` names it. */
  readonly owner: string
  readonly key: string
  /** Stands for the whole request; it is stored, so of a secret it has a keyed fingerprint. */
  readonly fingerprint: string
  /** Asked when the wait for an equal request is over: throws if whoever asks may no more, and then gets no answer, not even an old one. */
  readonly still: () => Promise<unknown>
}

/**
 * Does `work` at most once for one key. A repeat gets the first answer, also one that arrives while the first is at work. Throws
 * `idempotency_reused` if the key came with another request, `conflict` if the first one does not end.
 */
export async function once(store: Store, ctx: Ctx, request: Request, work: () => Promise<Answer>): Promise<Answer> {
  const { owner, key, still } = request
  const begun = await begin(store, ctx, request)
  try {
    await still()
  } catch (error) {
    if (begun.kind === 'fresh') await releaseAnswer(store, owner, key)
    throw error
  }
  if (begun.kind === 'answered') return { status: begun.status, body: begun.answer }
  let answer: Answer
  try {
    answer = await work()
  } catch (error) {
    if (changedNothing(error)) await releaseAnswer(store, owner, key)
    throw error
  }
  // The work is done and recorded. If only this fails, a repeat is told that the first was cut off; it never starts twice.
  await finishAnswer(store, owner, key, answer.status, (answer.body ?? null) as Json).catch((error: unknown) =>
    ctx.log.warn({ requestId: ctx.requestId, lost: error instanceof RekeyError }, 'an answer could not be kept'),
  )
  return answer
}

async function begin(store: Store, ctx: Ctx, { owner, key, fingerprint }: Request) {
  const until = ctx.clock.monotonicMs() + PATIENCE_MS
  for (;;) {
    try {
      return await beginAnswer(store, owner, key, fingerprint)
    } catch (error) {
      if (!isCode(error, 'conflict') || ctx.signal.aborted || ctx.clock.monotonicMs() > until) throw error
    }
    await sleep(LOOK_AGAIN_MS, ctx.signal)
  }
}

/**
 * Use cases are all or nothing, so a refusal changed nothing. After a lost database or a fault of ours nobody knows: the key stays
 * taken.
 */
function changedNothing(error: unknown): boolean {
  return error instanceof RekeyError && error.code !== 'unavailable' && error.code !== 'internal'
}
