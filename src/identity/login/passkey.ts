import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from '@simplewebauthn/server'
import { canonicalJson } from '../../evidence/index.ts'
import { type Ctx, newId, type RekeyError, Secret } from '../../kernel/index.ts'
import { digestHex, sha256Hex } from '../../seal/index.ts'
import type { Sql } from '../../store/index.ts'
import type { ProvenAal } from '../session.model.ts'
import { newToken } from '../session.ts'
import type { Act } from '../step-up.store.ts'
import type { Browser, LoginParts } from './model.ts'
import type { ChallengeRow, PasskeyRow, Purpose } from './passkey.store.ts'
import * as rows from './passkey.store.ts'
import { noteFailure } from './throttle.ts'

/** EdDSA, ES256, RS256 (IANA COSE algorithms). */
export const ALGORITHMS = [-8, -7, -257]
/** What `@simplewebauthn/browser` sends after `startRegistration` and `startAuthentication`. */
export type EnrolmentAnswer = RegistrationResponseJSON
export type PasskeyAnswer = AuthenticationResponseJSON

/** A challenge for the browser. `challenge` names it when it comes back. */
export interface Asked<Options> {
  readonly challenge: string
  readonly expiresAt: Date
  readonly publicKey: Options
}
export type AskedEnrolment = Asked<PublicKeyCredentialCreationOptionsJSON>
export type AskedPasskey = Asked<PublicKeyCredentialRequestOptionsJSON>

/** For whom a challenge is made: a session, or a browser by what it keeps. */
export function holderOf(browser: Browser, flow: Secret | null): string {
  if (flow !== null) return flow.revealText((text) => sha256Hex(Secret.fromText(`browser:${text}`)))
  return sha256Hex(Secret.fromText(`session:${browser.session?.session ?? ''}`))
}

interface NewChallenge {
  readonly purpose: Purpose
  readonly identity: string | null
  readonly act?: Act | null
  readonly name?: string
  readonly code?: string
}

/** Stores a challenge and resolves with its bytes, for the browser. */
export async function makeChallenge(sql: Sql, ctx: Ctx, browser: Browser, holder: string, wanted: NewChallenge) {
  const { purpose, identity, act = null, name = null, code = null } = wanted
  const row: ChallengeRow = {
    id: newId(ctx.clock.now().getTime()),
    purpose,
    nonce: newToken().revealText((text) => text),
    identity_id: identity,
    action: act?.action ?? null,
    subject: act?.subject ?? null,
    digest: act?.digest ?? null,
    name,
    code,
    origin: browser.site.origin,
    rp_id: browser.site.rpId,
  }
  const expiresAt = await rows.putChallenge(sql, holder, row)
  return { row, expiresAt, bytes: Uint8Array.from(Buffer.from(challengeText(row), 'base64url')) }
}

/**
 * What the authenticator signs: a hash over the challenge's nonce and everything that is confirmed with it, so that an assertion for one
 * act is none for another, and shows for ever which it was for.
 */
export function challengeText({ id, purpose, nonce, identity_id, action, subject, digest, rp_id }: ChallengeRow): string {
  const text = canonicalJson({ v: 1, id, purpose, nonce, identity: identity_id, action, subject, digest, rp: rp_id })
  return Buffer.from(digestHex(`rekey passkey challenge v1\0${text}`), 'hex').toString('base64url')
}

/** The user handle: the person's id and nothing that says who it is (WebAuthn section 14.6.1). */
export function userHandle(identity: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(identity, 'utf8'))
}

/** A passkey that may be synced proves no more than AAL2: its key can be copied (NIST SP 800-63B-4 section 2.3 and appendix B). */
export function aalOfPasskey({ device_bound }: Pick<PasskeyRow, 'device_bound'>): ProvenAal {
  return device_bound ? 3 : 2
}

/** A page of another origin that shows ours in a frame says so here, and no page of ours is shown in frames. */
export function inFrame(clientDataJSON: string): boolean {
  try {
    return JSON.parse(Buffer.from(clientDataJSON, 'base64url').toString('utf8')).crossOrigin === true
  } catch {
    return true
  }
}

/** Notes a failed proof and makes the one answer to all of them. */
export async function failed({ store }: LoginParts, ctx: Ctx, browser: Browser, why: string): Promise<RekeyError> {
  ctx.log.warn({ requestId: ctx.requestId, why }, 'a login was refused')
  return noteFailure(store, browser)
}
