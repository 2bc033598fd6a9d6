import { append } from '../../evidence/index.ts'
import { type Ctx, newId, RekeyError, type Secret } from '../../kernel/index.ts'
import { type Allowed, type Principal, StepUpRequired } from '../../policy/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { checkText } from '../record.model.ts'
import { passkeyDigest } from '../rights.story.ts'
import { isStillIn, newToken, startSession } from '../session.ts'
import { type CodeHolder, hashOfCode, holderOfCode, takeCode } from './code.ts'
import type { Browser, LoggedIn, LoginParts } from './model.ts'
import type { ChallengeRow, PasskeyRow } from './passkey.store.ts'
import * as rows from './passkey.store.ts'
import {
  ALGORITHMS,
  type AskedEnrolment,
  aalOfPasskey,
  challengeText,
  type EnrolmentAnswer,
  failed,
  holderOf,
  inFrame,
  makeChallenge,
  userHandle,
} from './passkey.ts'
import { rememberDevice } from './throttle.ts'
import { webauthn } from './webauthn.ts'

const NAME_CHARS = 60
/** How fresh the login must be that a passkey is added or removed by, seconds. */
const FRESH_SECONDS = 900
const TRANSPORTS = 10

/** A passkey that has been enrolled. */
export interface Enrolled {
  readonly id: string
  readonly name: string
  /** False: it may be synced, so it proves AAL2 at most. */
  readonly deviceBound: boolean
}

/**
 * Begins the enrolment of a passkey by who is logged in. Throws `step_up_required` unless the login is fresh, and as good as the best
 * that the person's passkeys can prove, AAL2 at least (NIST SP 800-63B-4 section 4.1.2): a weak login makes no strong authenticator.
 * `bad_input` for a name that cannot be shown.
 */
export async function beginEnrolment(
  parts: LoginParts,
  ctx: Ctx,
  may: Allowed<'passkey:enrol'>,
  browser: Browser,
  name: string,
): Promise<AskedEnrolment> {
  const { principal } = sessionOf(browser)
  may.check({ type: 'passkey', id: 'new', owner: principal.id })
  const present = await rows.passkeysOf(parts.store, principal.id)
  requireStrength(ctx, principal, present)
  return ask(parts.store, ctx, browser, holderOf(browser, null), { id: principal.id, name: principal.name }, present, name, null)
}

/** Throws `step_up_required` unless the login is fresh and as good as the best of these passkeys. */
export function requireStrength(ctx: Ctx, { aal, authenticatedAt }: Principal, present: readonly PasskeyRow[]): void {
  const needed = present.some((it) => it.device_bound) ? 3 : 2
  const ageMs = authenticatedAt === null ? Number.POSITIVE_INFINITY : ctx.clock.now().getTime() - authenticatedAt.getTime()
  if (aal < needed || ageMs > FRESH_SECONDS * 1000) throw new StepUpRequired({ aal: needed, maxAgeSeconds: FRESH_SECONDS })
}

/** Finishes it (`passkey.enrolled`). Throws `proof_refused` for an answer that does not verify, `conflict` if it is enrolled already. */
export async function finishEnrolment(
  parts: LoginParts,
  ctx: Ctx,
  may: Allowed<'passkey:enrol'>,
  browser: Browser,
  challengeId: string,
  answer: EnrolmentAnswer,
): Promise<Enrolled> {
  const holder = sessionOf(browser)
  const { principal } = holder
  may.check({ type: 'passkey', id: 'new', owner: principal.id })
  const challenge = await rows.takeChallenge(parts.store, challengeId, 'enrol', holderOf(browser, null))
  const made = challenge?.identity_id === principal.id ? await verified(ctx, challenge, answer) : null
  if (made === null) throw new RekeyError('proof_refused', 'The new passkey could not be verified.', { hint: 'Begin again.' })
  await parts.store.inTx(async (tx) => {
    if (!(await isStillIn(tx, holder))) throw new RekeyError('unauthenticated', 'Your session has ended.', { hint: 'Log in again.' })
    await keep(tx, ctx, made, principal.name, { by: 'session', cameBy: await rows.linkOfSession(tx, holder.session) })
  })
  return { id: made.id, name: made.name, deviceBound: made.device_bound }
}

/**
 * Begins the enrolment of a person's first passkey by a one-time code. Throws `unauthenticated` for a code that is wrong, used, too
 * old or good no more because of who made it, in the words of every failed login; `too_many_requests`. The code is used up only by an
 * enrolment that succeeds.
 */
export async function beginCodeEnrolment(
  parts: LoginParts,
  ctx: Ctx,
  browser: Browser,
  code: string,
  name: string,
): Promise<{ readonly asked: AskedEnrolment; readonly flow: Secret }> {
  const { store } = parts
  const hash = hashOfCode(code)
  const person = hash === null ? null : await holderOfCode(parts, store, ctx, hash)
  if (hash === null || person === null) throw await failed(parts, ctx, browser, 'no such code')
  const flow = newToken()
  const present = await rows.passkeysOf(store, person.id)
  return { asked: await ask(store, ctx, browser, holderOf(browser, flow), person, present, name, hash), flow }
}

/** Finishes it: the passkey is enrolled, the code used up and a session begun, all or nothing. Throws as `beginCodeEnrolment`. */
export async function finishCodeEnrolment(
  parts: LoginParts,
  ctx: Ctx,
  browser: Browser,
  challengeId: string,
  answer: EnrolmentAnswer,
): Promise<LoggedIn> {
  const { store } = parts
  const challenge = browser.flow === null ? null : await rows.takeChallenge(store, challengeId, 'enrol', holderOf(browser, browser.flow))
  const made = challenge === null ? null : await verified(ctx, challenge, answer)
  if (made === null) throw await failed(parts, ctx, browser, 'a passkey that does not verify')
  const done = await store.inTx(async (tx) => {
    const person = challenge?.code == null ? null : await takeCode(parts, tx, ctx, challenge.code)
    if (person === null || person.id !== made.identity_id) return null
    await keep(tx, ctx, made, person.name, { by: 'code', cameBy: null })
    return start(tx, ctx, browser, made, person)
  })
  if (done === null) throw await failed(parts, ctx, browser, 'a code that was used')
  return done
}

async function start(tx: Tx, ctx: Ctx, browser: Browser, made: PasskeyRow, person: CodeHolder): Promise<LoggedIn> {
  const session = await startSession(tx, ctx, {
    identity: person.id,
    name: person.name,
    aal: aalOfPasskey(made),
    authenticatedAt: null,
    method: 'passkey',
    provider: null,
    passkey: made.id,
    browser: browser.agent,
    replaces: null,
  })
  // `takeCode` has locked an active person.
  if (session === null) throw new RekeyError('internal', 'A person was active and is not.')
  return { session, device: await rememberDevice(tx, ctx, browser, person.id) }
}

async function ask(
  sql: Sql,
  ctx: Ctx,
  browser: Browser,
  holder: string,
  person: CodeHolder,
  present: readonly PasskeyRow[],
  name: string,
  code: string | null,
): Promise<AskedEnrolment> {
  checkText('name of a passkey', name, NAME_CHARS)
  const wanted = { purpose: 'enrol', identity: person.id, name, ...(code === null ? {} : { code }) } as const
  const { row, bytes, expiresAt } = await makeChallenge(sql, ctx, browser, holder, wanted)
  const publicKey = await (await webauthn()).generateRegistrationOptions({
    rpName: 'Rekey',
    rpID: row.rp_id,
    userName: person.name,
    userDisplayName: person.name,
    userID: userHandle(person.id),
    challenge: bytes,
    attestationType: 'direct',
    excludeCredentials: present.map(({ credential_id, transports }) => ({ id: credential_id, transports: [...transports] })),
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    supportedAlgorithmIDs: ALGORITHMS,
  })
  return { challenge: row.id, expiresAt, publicKey }
}

/** WebAuthn section 7.1. Null for an answer that is not to this challenge, from this origin, with the user verified. */
async function verified(ctx: Ctx, challenge: ChallengeRow, answer: EnrolmentAnswer): Promise<PasskeyRow | null> {
  const { identity_id, name } = challenge
  if (identity_id === null || name === null || inFrame(answer.response.clientDataJSON)) return null
  const done = await (await webauthn())
    .verifyRegistrationResponse({
      response: answer,
      expectedChallenge: challengeText(challenge),
      expectedOrigin: challenge.origin,
      expectedRPID: challenge.rp_id,
      requireUserVerification: true,
      supportedAlgorithmIDs: ALGORITHMS,
    })
    .catch(() => null)
  if (done === null || !done.verified) return null
  const { credential, credentialDeviceType, credentialBackedUp, aaguid, fmt } = done.registrationInfo
  const transports = (credential.transports ?? []).filter((it) => /^[a-z-]{1,20}$/.test(it)).slice(0, TRANSPORTS)
  return {
    id: newId(ctx.clock.now().getTime()),
    identity_id,
    credential_id: credential.id,
    public_key: credential.publicKey,
    counter: credential.counter,
    transports,
    aaguid,
    attestation: fmt,
    device_bound: credentialDeviceType === 'singleDevice',
    backed_up: credentialBackedUp,
    rp_id: challenge.rp_id,
    name,
  }
}

/** By what it is enrolled; where that is a session, by which link to a provider somebody came into it. */
interface EnrolledBy {
  readonly by: 'session' | 'code'
  readonly cameBy: string | null
}

async function keep(tx: Tx, ctx: Ctx, made: PasskeyRow, person: string, { by, cameBy }: EnrolledBy): Promise<void> {
  if (!(await rows.insertPasskey(tx, made, cameBy))) throw new RekeyError('conflict', 'This passkey is enrolled already.')
  const { id, identity_id, name, device_bound, attestation, aaguid } = made
  const digest = passkeyDigest(made.credential_id, Buffer.from(made.public_key).toString('hex'))
  const data = { passkey: name, deviceBound: device_bound, attestation, aaguid, by, cameBy, digest }
  const actor = `person:${identity_id}`
  await append(tx, ctx, [
    { log: 'identity', type: 'passkey.enrolled', actor, subject: person, links: { identity: identity_id, passkey: id }, data },
  ])
}

function sessionOf({ session }: Browser) {
  if (session === null) throw new RekeyError('wrong_state', 'Only who is logged in enrols a passkey.', { hint: 'Log in in a browser.' })
  return session
}
