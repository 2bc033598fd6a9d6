import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isId, newId, RekeyError, Secret } from '../kernel/index.ts'
import { type Allowed, isMine } from '../policy/index.ts'
import { open, possessionProof, randomSecret } from '../seal/index.ts'
import type { Tx } from '../store/index.ts'
import * as rows from './consumer.store.ts'
import { resourcesOf } from './resources.ts'
import type { RotationParts } from './rotation.run.ts'
import { dataKeyBound, versionBound } from './targets.ts'
import { NUDGE } from './worker.channel.ts'

/** How long a challenge can be answered, seconds. */
const CHALLENGE_SECONDS = 300
const NONCE_BYTES = 32

/** What a consumer answers with `possessionProof(new value, nonce)`, once, before it expires. */
export interface Challenge {
  readonly id: string
  /** 32 bytes. */
  readonly nonce: Uint8Array
  readonly expiresAt: Date
}

type Of = { readonly credential_id: string; readonly system: string; readonly identity_id: string | null }

async function isTouchable(tx: Tx, may: Allowed<'consumer:report'>, { credential_id: id, system, identity_id }: Of): Promise<boolean> {
  const [resource] = await resourcesOf(tx, [{ id, system, identity_id }])
  return isMine(may, resource)
}

/**
 * Challenges a consumer to show that it has the new value. Throws `not_found` for an unknown credential or consumer, `wrong_state` if
 * the consumer does not report (its activation is another), or if no rotation waits for a report: the value in use before a rotation
 * proves nothing about a move, so it is not asked for.
 */
export async function makeChallenge(
  parts: Pick<RotationParts, 'store'>,
  ctx: Ctx,
  may: Allowed<'consumer:report'>,
  credential: string,
  consumer: string,
): Promise<Challenge> {
  return parts.store.inTx(async (tx) => {
    const found = await rows.findConsumer(tx, credential, consumer)
    if (found === null || !(await isTouchable(tx, may, found)))
      throw new RekeyError('not_found', `No consumer ${consumer} of a credential ${credential}.`, { hint: 'See rekey credential show.' })
    if (found.activation !== 'report') throw notReporting(consumer)
    if ((await rows.reportable(tx, found.credential_id)) === null) throw nothingToReport()
    const id = newId(ctx.clock.now().getTime())
    const nonce = randomSecret(NONCE_BYTES).reveal((bytes) => Uint8Array.from(bytes))
    return { id, nonce, expiresAt: await rows.insertChallenge(tx, id, found.id, nonce, CHALLENGE_SECONDS) }
  })
}

/**
 * Takes the answer to a challenge. The challenge is used up by any answer. A right one counts as the consumer's activation in the
 * live rotation, is put in evidence, and wakes the rotation. Throws `proof_refused` for a wrong proof and, in the same words, for a
 * challenge that is unknown, used or expired; `wrong_state` as `makeChallenge` does, if the rotation went on meanwhile.
 */
export async function answerChallenge(
  parts: Pick<RotationParts, 'store' | 'keyring'>,
  ctx: Ctx,
  may: Allowed<'consumer:report'>,
  challengeId: string,
  proof: Uint8Array,
): Promise<void> {
  if (!isId(challengeId)) throw refused()
  // The refusal is thrown after the commit: a rollback would leave the challenge to be guessed at again.
  const refusal = await parts.store.inTx(async (tx) => {
    const spent = await rows.spend(tx, challengeId)
    if (spent === null || !(await isTouchable(tx, may, spent))) return refused()
    if (spent.activation !== 'report') return notReporting(spent.consumer)
    const rotation = await rows.reportable(tx, spent.credential_id)
    if (rotation === null) return nothingToReport()
    const right = await isRight(parts, tx, spent, rotation, proof)
    if (right && !(await rows.insertActivation(tx, rotation.rotation, spent.consumer, personOf(ctx)))) return null
    await append(tx, ctx, [eventOf(spent, rotation, right)])
    if (!right) return refused()
    await rows.hurry(tx, rotation.rotation)
    await tx.query('select pg_notify($1, $2)', [NUDGE, ''])
    return null
  })
  if (refusal !== null) throw refusal
}

/** A person who answers shows that they hold the value, whatever it is for: see the finding `human_use`. */
function personOf(ctx: Ctx): string | null {
  const [kind, id = ''] = ctx.actor.split(':')
  return kind === 'person' && isId(id) ? id : null
}

/** Compared in a time that does not depend on where the two differ. */
async function isRight(
  parts: Pick<RotationParts, 'keyring'>,
  tx: Tx,
  spent: rows.Spent,
  rotation: rows.Reportable,
  proof: Uint8Array,
): Promise<boolean> {
  if (proof.length === 0) return false
  const key = await parts.keyring.unwrap(tx, spent.kek_id, spent.wrapped_key, dataKeyBound(spent.credential_id))
  const value = open(key, rotation.sealed, versionBound(spent.credential_id, rotation.version_id))
  return new Secret(possessionProof(value, spent.nonce)).equals(new Secret(proof))
}

function eventOf(spent: rows.Spent, rotation: rows.Reportable, right: boolean): EvidenceEvent {
  return {
    log: 'credential',
    type: right ? 'consumer.reported' : 'consumer.proof_refused',
    subject: spent.credential,
    links: { credential: spent.credential_id, rotation: rotation.rotation, system: rotation.system_id, to: rotation.version_id },
    data: { consumer: spent.consumer, version: rotation.version },
  }
}

function refused(): RekeyError {
  return new RekeyError('proof_refused', 'The proof is wrong, or the challenge is unknown, used or expired.', {
    hint: 'Read the new value, and nothing but the value (no key, no quotes), and ask for a new challenge.',
  })
}

function notReporting(consumer: string): RekeyError {
  return new RekeyError('wrong_state', `The consumer ${consumer} is not declared with activation: report.`)
}

function nothingToReport(): RekeyError {
  return new RekeyError('wrong_state', 'No rotation of this credential waits for a report.')
}
