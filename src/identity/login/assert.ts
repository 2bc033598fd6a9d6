import { append, type EvidenceEvent } from '../../evidence/index.ts'
import type { Ctx } from '../../kernel/index.ts'
import type { Tx } from '../../store/index.ts'
import { startSession } from '../session.ts'
import type { Browser, LoggedIn, LoginParts } from './model.ts'
import type { ChallengeRow, OwnedPasskey } from './passkey.store.ts'
import * as rows from './passkey.store.ts'
import { aalOfPasskey, challengeText, inFrame, type PasskeyAnswer, userHandle } from './passkey.ts'
import { forgetTry, MOST_FAILURES, rememberDevice, type Try, takeTry } from './throttle.ts'
import { webauthn } from './webauthn.ts'

/** An assertion that was checked: whose, and by which passkey. */
export interface Asserted {
  readonly passkey: OwnedPasskey
  readonly tried: Try
  readonly counter: number
  readonly backedUp: boolean
}

/**
 * Checks an assertion against its challenge (WebAuthn section 7.2): signature, origin, relying party, user verification. A word for the
 * log if it is none. One of the tries at the passkey is taken before, and given back by `accept`.
 */
export async function check(
  { store }: LoginParts,
  ctx: Ctx,
  browser: Browser,
  challenge: ChallengeRow,
  answer: PasskeyAnswer,
): Promise<Asserted | string> {
  const passkey = await rows.passkeyByCredential(store, answer.id)
  if (passkey === null || passkey.rp_id !== challenge.rp_id) return 'unknown passkey'
  if (challenge.identity_id !== null && challenge.identity_id !== passkey.identity_id) return "another person's passkey"
  const tried = await takeTry(store, browser, passkey.id, passkey.identity_id)
  if (tried === null) return 'no tries left'
  const info = await verified(challenge, passkey, answer)
  if (info === null) {
    if (tried.failures === MOST_FAILURES) {
      const data = { failures: tried.failures, from: tried.known ? 'a known browser' : 'unknown browsers' }
      await store.inTx((tx) => append(tx, ctx, [eventOf('passkey.locked', passkey, data)]))
    }
    return 'a wrong assertion'
  }
  return { passkey, tried, counter: info.newCounter, backedUp: info.credentialBackedUp }
}

async function verified(challenge: ChallengeRow, passkey: OwnedPasskey, answer: PasskeyAnswer) {
  const handle = answer.response.userHandle
  if (inFrame(answer.response.clientDataJSON)) return null
  if (handle !== undefined && handle !== Buffer.from(userHandle(passkey.identity_id)).toString('base64url')) return null
  try {
    const { verified, authenticationInfo } = await (await webauthn()).verifyAuthenticationResponse({
      response: answer,
      expectedChallenge: challengeText(challenge),
      expectedOrigin: challenge.origin,
      expectedRPID: challenge.rp_id,
      requireUserVerification: true,
      // The counter is compared after the signature, in the transaction that writes it.
      credential: { id: passkey.credential_id, publicKey: Uint8Array.from(passkey.public_key), counter: 0 },
    })
    // Whether it may be synced never changes (WebAuthn section 6.1.3).
    const bound = authenticationInfo.credentialDeviceType === 'singleDevice'
    return verified && bound === passkey.device_bound ? authenticationInfo : null
  } catch {
    return null
  }
}

/**
 * Accepts a checked assertion: counter, session and browser in one transaction. A word if it is refused after all: an authenticator that
 * was copied (`passkey.counter_regressed`), a person who is not active (`login.refused`). `replaces`: the session that it takes the
 * place of.
 */
export async function accept(
  tx: Tx,
  ctx: Ctx,
  browser: Browser,
  { passkey, tried, counter, backedUp }: Asserted,
  replaces: string | null,
): Promise<LoggedIn | string> {
  if (!(await rows.notePasskeyUse(tx, passkey.id, counter, backedUp))) {
    await append(tx, ctx, [eventOf('passkey.counter_regressed', passkey, { counter, known: passkey.counter })])
    return 'a counter that did not grow'
  }
  const session = await startSession(tx, ctx, {
    identity: passkey.identity_id,
    name: passkey.person,
    aal: aalOfPasskey(passkey),
    authenticatedAt: null,
    method: 'passkey',
    provider: null,
    passkey: passkey.id,
    browser: browser.agent,
    replaces,
  })
  if (session === null) {
    await append(tx, ctx, [{ ...eventOf('login.refused', passkey, { why: 'not active' }), subject: passkey.person }])
    return 'nobody who may log in'
  }
  await forgetTry(tx, tried)
  return { session, device: await rememberDevice(tx, ctx, browser, passkey.identity_id) }
}

function eventOf(type: string, { id, identity_id, person, name }: OwnedPasskey, data: Record<string, string | number>): EvidenceEvent {
  return { log: 'identity', type, subject: person, links: { identity: identity_id, passkey: id }, data: { passkey: name, ...data } }
}
