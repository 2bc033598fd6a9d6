import { append } from '../../evidence/index.ts'
import { type Ctx, isId, newId, RekeyError } from '../../kernel/index.ts'
import { isAction } from '../../policy/index.ts'
import type { Tx } from '../../store/index.ts'
import { isStillIn } from '../session.ts'
import type { Act, ProofHolder } from '../step-up.store.ts'
import * as rows from '../step-up.store.ts'
import { accept, check } from './assert.ts'
import type { Browser, LoggedIn, LoginParts } from './model.ts'
import { passkeysOf, takeChallenge } from './passkey.store.ts'
import { type AskedPasskey, failed, holderOf, makeChallenge, type PasskeyAnswer } from './passkey.ts'
import { webauthn } from './webauthn.ts'

/** A challenge, and what it confirms in words. */
export interface AskedStepUp extends AskedPasskey {
  readonly words: string
}

/** A stronger session, and the proof of the act if one was confirmed. */
export interface SteppedUp extends LoggedIn {
  readonly proof: string | null
}

/** By what an act was confirmed. */
export interface Confirmation {
  /** Rekey's id of the passkey, and the authenticator's. */
  readonly passkey: string
  readonly credentialId: string
  readonly digest: string
  readonly at: Date
}

/**
 * Begins a step-up with one of the person's own passkeys: for a better login, or to confirm one act. Throws `wrong_state` for a token, or
 * a person without a passkey; `bad_input` for an action that is not on the list.
 */
export async function beginStepUp({ store }: LoginParts, ctx: Ctx, browser: Browser, act: Act | null): Promise<AskedStepUp> {
  const { id } = sessionOf(browser).principal
  if (act !== null && !isAction(act.action)) throw new RekeyError('bad_input', 'There is no such action.')
  const passkeys = (await passkeysOf(store, id)).filter(({ rp_id }) => rp_id === browser.site.rpId)
  if (passkeys.length === 0) {
    throw new RekeyError('wrong_state', 'You have no passkey here.', { hint: 'Enrol one first, or log in again at your provider.' })
  }
  const { row, bytes, expiresAt } = await makeChallenge(store, ctx, browser, holderOf(browser, null), {
    purpose: 'step_up',
    identity: id,
    act,
  })
  const publicKey = await (await webauthn()).generateAuthenticationOptions({
    rpID: row.rp_id,
    challenge: bytes,
    userVerification: 'required',
    allowCredentials: passkeys.map(({ credential_id, transports }) => ({ id: credential_id, transports: [...transports] })),
  })
  return { challenge: row.id, expiresAt, publicKey, words: wordsOf(act) }
}

/** Made here, never by who asks. */
function wordsOf(act: Act | null): string {
  if (act === null) return 'Confirm that it is you.'
  const [, decision, request] = (act.action === 'approval:decide' && /^(approve|reject):(.+)$/.exec(act.subject)) || []
  if (decision !== undefined) {
    return `${decision === 'approve' ? 'Approve' : 'Reject'} the request ${request}, with exactly the content ${act.digest.slice(0, 16)}.`
  }
  return `Confirm ${act.action} on ${act.subject}, with exactly the content ${act.digest.slice(0, 16)}.`
}

/**
 * Finishes it: the new session takes the place of the one that asked, and an act that was confirmed is a proof that can be used once
 * within five minutes (`step_up.confirmed`). Throws `unauthenticated`, in the same words whatever is wrong.
 */
export async function finishStepUp(
  parts: LoginParts,
  ctx: Ctx,
  browser: Browser,
  challengeId: string,
  answer: PasskeyAnswer,
): Promise<SteppedUp> {
  const { store } = parts
  const before = sessionOf(browser)
  const challenge = await takeChallenge(store, challengeId, 'step_up', holderOf(browser, null))
  if (challenge === null || challenge.origin !== browser.site.origin) throw await failed(parts, ctx, browser, 'no challenge')
  const asserted = await check(parts, ctx, browser, challenge, answer)
  if (typeof asserted === 'string') throw await failed(parts, ctx, browser, asserted)
  const { action, subject, digest } = challenge
  const done = await store.inTx(async (tx) => {
    if (!(await isStillIn(tx, before))) return 'a session that ended'
    const accepted = await accept(tx, ctx, browser, asserted, before.session)
    if (typeof accepted === 'string') return accepted
    if (action === null || subject === null || digest === null) return { ...accepted, proof: null }
    const proof = await keepProof(tx, ctx, accepted, asserted.passkey.id, { action, subject, digest })
    return { ...accepted, proof }
  })
  if (typeof done === 'string') throw await failed(parts, ctx, browser, done)
  return done
}

async function keepProof(tx: Tx, ctx: Ctx, { session }: LoggedIn, passkey: string, act: Act): Promise<string> {
  const id = newId(ctx.clock.now().getTime())
  await rows.insertProof(tx, { id, session: session.id, identity: session.identity, passkey, ...act })
  const links = { identity: session.identity, session: session.id, passkey, proof: id }
  await append(tx, ctx, [{ log: 'identity', type: 'step_up.confirmed', subject: session.name, links, data: { ...act } }])
  return id
}

/**
 * Uses a proof up, in the transaction of what it was for. Null unless this person confirmed this very act within the last five minutes, in
 * this session, or one that it took the place of, and the proof was not used before. It dies with its session.
 */
export async function consumeStepUpProof(tx: Tx, holder: ProofHolder, proof: string, act: Act): Promise<Confirmation | null> {
  const used = isId(proof) ? await rows.takeProof(tx, proof, holder, act) : null
  return used === null ? null : { passkey: used.passkey, credentialId: used.credential, digest: act.digest, at: used.at }
}

function sessionOf({ session }: Browser) {
  if (session === null) throw new RekeyError('wrong_state', 'Only a session can be stepped up.', { hint: 'Log in in a browser.' })
  return session
}
