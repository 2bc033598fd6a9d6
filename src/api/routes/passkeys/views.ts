import { z } from 'zod'
import type { Asked, EnrolmentAnswer, Passkey, PasskeyAnswer } from '../../../identity/login/index.ts'
import { text } from '../../views.ts'

/** Base64url as browsers write it. */
const bytes = (maxChars: number) =>
  z
    .string()
    .max(maxChars)
    .regex(/^[A-Za-z0-9_-]*$/)

const extensions = z.record(z.string().max(100), z.unknown()).default({})
const attachment = z.enum(['cross-platform', 'platform']).optional()

/** Members of both answers (WebAuthn section 5.1, PublicKeyCredential). */
const COMMON = {
  id: bytes(1_400).min(1),
  rawId: bytes(1_400).min(1),
  type: z.literal('public-key'),
  authenticatorAttachment: attachment,
  clientExtensionResults: extensions,
}

/**
 * What `startRegistration` of @simplewebauthn/browser gives (WebAuthn section 5.1, RegistrationResponseJSON). Browsers add members, which
 * are not kept.
 */
export const EnrolmentResponse = z
  .object({
    ...COMMON,
    response: z.object({
      clientDataJSON: bytes(8_000),
      attestationObject: bytes(40_000),
      transports: z.array(z.string().max(20)).max(20).optional(),
    }),
  })
  .transform((it) => it as EnrolmentAnswer)

/** What `startAuthentication` gives (AuthenticationResponseJSON). */
export const PasskeyResponse = z
  .object({
    ...COMMON,
    response: z.object({
      clientDataJSON: bytes(8_000),
      authenticatorData: bytes(8_000),
      signature: bytes(8_000),
      userHandle: bytes(200).nullish(),
    }),
  })
  .transform(({ response: { userHandle, ...response }, ...rest }) => {
    return { ...rest, response: { ...response, ...(userHandle ? { userHandle } : {}) } } as PasskeyAnswer
  })

/** How a person tells their passkeys apart. */
export const PasskeyName = text(60)

/** A challenge, as `optionsJSON` of the browser's library takes it. */
export const Challenge = z
  .object({
    challenge: z.string().describe('To be sent back with the answer.'),
    expiresAt: z.iso.datetime(),
    publicKey: z.record(z.string(), z.unknown()).describe('optionsJSON of startRegistration or startAuthentication.'),
  })
  .meta({ id: 'PasskeyChallenge' })

export function challengeView<T extends object>({ challenge, expiresAt, publicKey }: Asked<T>): z.output<typeof Challenge> {
  return { challenge, expiresAt: expiresAt.toISOString(), publicKey: Object.fromEntries(Object.entries(publicKey)) }
}

export const PasskeyShown = z
  .object({
    passkey: z.string(),
    identity: z.string(),
    person: z.string(),
    name: z.string(),
    deviceBound: z.boolean().describe('False: it may be synced, so it proves AAL2 at most.'),
    backedUp: z.boolean(),
    attestation: z.string(),
    aaguid: z.string(),
    createdAt: z.iso.datetime(),
    lastUsedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Passkey' })

export function passkeyView({ id, createdAt, lastUsedAt, ...rest }: Passkey): z.output<typeof PasskeyShown> {
  return { passkey: id, ...rest, createdAt: createdAt.toISOString(), lastUsedAt: lastUsedAt?.toISOString() ?? null }
}
