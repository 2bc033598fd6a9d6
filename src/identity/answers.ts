import { type Json, RekeyError } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import type { Begun } from './model.ts'
import * as rows from './store.ts'

/** What a key may look like: visible ASCII, as the header of draft-ietf-httpapi-idempotency-key-header carries it. */
const KEY = /^[\x21-\x7e]{1,200}$/

/**
 * Whose an Idempotency-Key is. A token's own; of an identity with several proofs that are bounded differently, or an agent that acts for
 * several, one owner for each: what one of them was answered is not the other's to see.
 */
export function keyOwner({ kind, id, actsFor, scope, environments }: Principal): string {
  const bounds = [actsFor?.identity ?? null, scope && [...scope].sort(), environments && [...environments].sort()]
  if (kind === 'token' || bounds.every((bound) => bound === null)) return id
  return `${id} ${digestHex(JSON.stringify(bounds))}`
}

/**
 * Claims an Idempotency-Key for one owner, as `keyOwner` names it. `request` stands for the whole request (method, path, body); it is
 * stored, so it must be
 * a keyed fingerprint where the body can hold a secret. Answers are kept for `ANSWER_HOURS`.
 *
 * `fresh`: the caller does the work, then calls `finishAnswer`, or `releaseAnswer` if it did nothing. `answered`: the first answer,
 * to be given again. Throws `idempotency_reused` if the key came with another request, `bad_input` for a key of the wrong shape,
 * `conflict` while the first request has not ended. One that was cut off by a crash counts as not ended until it expires: what it did
 * is not known, and doing it twice is what the key must prevent.
 */
export async function beginAnswer(sql: Sql, owner: string, key: string, request: string): Promise<Begun> {
  if (!KEY.test(key)) throw new RekeyError('bad_input', 'An Idempotency-Key is 1 to 200 visible ASCII characters.')
  await rows.dropExpired(sql)
  // The row can expire between the two statements: then the key is free and the second round takes it.
  for (let round = 0; round < 3; round++) {
    if (await rows.takeKey(sql, owner, key, request)) return { kind: 'fresh' }
    const kept = await rows.keptAnswer(sql, owner, key)
    if (kept === null) continue
    if (kept.request !== request) {
      throw new RekeyError('idempotency_reused', 'This Idempotency-Key came with another request before.', {
        hint: 'Use a new key for it.',
      })
    }
    if (kept.status !== null) return { kind: 'answered', status: kept.status, answer: kept.answer }
    break
  }
  throw new RekeyError('conflict', 'The first request with this Idempotency-Key has not ended, or was cut off.', {
    hint: 'Try again in a moment. If this stays, look at what was started (rekey rotation list) and use a new key.',
  })
}

/** Keeps the answer to a request that was `fresh`. It must hold no secret. Call it also for a refusal that a repeat shall get again. */
export async function finishAnswer(sql: Sql, owner: string, key: string, status: number, answer: Json): Promise<void> {
  const kept = await rows.keepAnswer(sql, owner, key, status, JSON.stringify(answer))
  if (!kept) throw new RekeyError('internal', 'There is no open request with this Idempotency-Key.')
}

/** Frees the key of a `fresh` request that is known to have changed nothing, so that it may be sent again. */
export async function releaseAnswer(sql: Sql, owner: string, key: string): Promise<void> {
  await rows.dropKey(sql, owner, key)
}
