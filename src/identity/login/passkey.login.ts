import type { Ctx, Secret } from '../../kernel/index.ts'
import { newToken } from '../session.ts'
import { accept, check } from './assert.ts'
import type { Browser, LoggedIn, LoginParts } from './model.ts'
import { takeChallenge } from './passkey.store.ts'
import { type AskedPasskey, failed, holderOf, makeChallenge, type PasskeyAnswer } from './passkey.ts'
import { webauthn } from './webauthn.ts'

/**
 * Begins a login by passkey. Nobody is named: the authenticator knows whose it is, so nothing can be learned of who is on record. The
 * browser keeps `flow`.
 */
export async function beginPasskeyLogin(
  { store }: LoginParts,
  ctx: Ctx,
  browser: Browser,
): Promise<{ readonly asked: AskedPasskey; readonly flow: Secret }> {
  const flow = newToken()
  const { row, bytes, expiresAt } = await makeChallenge(store, ctx, browser, holderOf(browser, flow), { purpose: 'login', identity: null })
  const publicKey = await (await webauthn()).generateAuthenticationOptions({
    rpID: row.rp_id,
    challenge: bytes,
    userVerification: 'required',
  })
  return { asked: { challenge: row.id, expiresAt, publicKey }, flow }
}

/** Finishes it. Throws `unauthenticated`, in the same words whatever is wrong, or `too_many_requests` (see `noteFailure`). */
export async function finishPasskeyLogin(
  parts: LoginParts,
  ctx: Ctx,
  browser: Browser,
  challengeId: string,
  answer: PasskeyAnswer,
): Promise<LoggedIn> {
  const { store } = parts
  const challenge = browser.flow === null ? null : await takeChallenge(store, challengeId, 'login', holderOf(browser, browser.flow))
  if (challenge === null || challenge.origin !== browser.site.origin) throw await failed(parts, ctx, browser, 'no challenge')
  const asserted = await check(parts, ctx, browser, challenge, answer)
  if (typeof asserted === 'string') throw await failed(parts, ctx, browser, asserted)
  const { session } = browser
  const replaces = session?.principal.id === asserted.passkey.identity_id ? session.session : null
  const done = await store.inTx((tx) => accept(tx, ctx, browser, asserted, replaces))
  if (typeof done === 'string') throw await failed(parts, ctx, browser, done)
  return done
}
