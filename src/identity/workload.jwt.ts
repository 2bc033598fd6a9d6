import { errors, type JWTVerifyOptions, jwtVerify, type LocalJWKSet } from 'jose'
import type { Ctx } from '../kernel/index.ts'
import type { IssuerKeys } from './issuer.keys.ts'
import { trustDomainOf } from './issuer.model.ts'
import type { Issuer } from './issuer.store.ts'
import { strictObject } from './workload.json.ts'

/** A token of a real issuer has 1 to 3 KB. */
export const JWT_MAX_CHARS = 8_192
const PART = /^[A-Za-z0-9_-]+$/
const ISS_CHARS = 500

/** A token as it is read before anything of it is believed. */
export interface Unverified {
  readonly text: string
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** Why a token is refused, for the log only. Words of ours. */
export class Refused extends Error {}

/**
 * Reads a compact JWS (RFC 7515 section 7.1): three parts, two of them JSON objects without repeated names. Null for anything else: an
 * encrypted token, another serialization, an unsigned one.
 */
export function readJwt(text: string): Unverified | null {
  if (text.length > JWT_MAX_CHARS) return null
  const parts = text.split('.')
  if (parts.length !== 3 || !parts.every((part) => PART.test(part))) return null
  const [header, claims] = parts.slice(0, 2).map((part) => strictObject(utf8(Buffer.from(part, 'base64url'))))
  return header && claims ? { text, header, claims } : null
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return ''
  }
}

/** Whose token it says it is: `iss`, and the trust domain of `sub`. It only says where to look for keys. */
export function originsOf({ claims }: Unverified): { readonly iss: string | null; readonly trustDomain: string | null } {
  const iss = typeof claims.iss === 'string' && claims.iss.length <= ISS_CHARS && !claims.iss.includes('\0') ? claims.iss : null
  return { iss, trustDomain: typeof claims.sub === 'string' ? trustDomainOf(claims.sub) : null }
}

/** Members that name a key, or where one is: a token must not say by what it is checked. And what asks for more than we know. */
const FORBIDDEN = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc']
/** Of tokens that tell who asks. Security events, logout tokens and proofs of possession are tokens too, and tell something else. */
const TYPES = ['jwt', 'at+jwt', 'application/at+jwt', 'application/jwt']
/** JWT-SVID section 2: no other members than these. */
const SPIFFE_MEMBERS = ['alg', 'typ', 'kid']

function checkHeader({ type, algorithms }: Issuer, header: Unverified['header']): void {
  const { alg, typ, kid } = header
  if (typeof alg !== 'string' || !algorithms.includes(alg)) throw new Refused('algorithm')
  if (kid !== undefined && typeof kid !== 'string') throw new Refused('key id')
  if (FORBIDDEN.some((member) => Object.hasOwn(header, member))) throw new Refused('header')
  if (type === 'spiffe') {
    if (Object.keys(header).some((member) => !SPIFFE_MEMBERS.includes(member))) throw new Refused('header')
    if (typ !== undefined && typ !== 'JWT' && typ !== 'JOSE') throw new Refused('type')
  } else if (typ !== undefined && (typeof typ !== 'string' || !TYPES.includes(typ.toLowerCase()))) throw new Refused('type')
}

/**
 * Checks a token against its issuer: header, signature, `iss`, `aud`, `exp`, `nbf`, `iat`, age; of a trust domain all rules of JWT-SVID.
 * Throws `Refused`. A key that is not known yet is looked for once more, at most every so often.
 */
export async function verifyJwt(ctx: Ctx, keys: IssuerKeys, issuer: Issuer, token: Unverified): Promise<void> {
  checkHeader(issuer, token.header)
  const set = await keys.current(ctx, issuer)
  if (set === null) throw new Refused('no keys')
  const first = await tryKeys(ctx, set, issuer, token)
  if (first === 'no key') {
    const later = await keys.again(ctx, issuer)
    if (later === null || (await tryKeys(ctx, later, issuer, token)) === 'no key') throw new Refused('unknown key')
  }
  checkAge(ctx, issuer, token.claims)
  if (issuer.type === 'spiffe' && originsOf(token).trustDomain !== issuer.origin) throw new Refused('trust domain')
}

async function tryKeys(ctx: Ctx, set: LocalJWKSet, issuer: Issuer, { text }: Unverified): Promise<'good' | 'no key'> {
  const { type, origin, audience, algorithms, clockSkewSeconds, maxTokenAgeSeconds } = issuer
  const options: JWTVerifyOptions = {
    algorithms: [...algorithms],
    audience,
    clockTolerance: clockSkewSeconds,
    currentDate: ctx.clock.now(),
    requiredClaims: ['exp', 'sub'],
    ...(type === 'spiffe' ? {} : { issuer: origin, maxTokenAge: maxTokenAgeSeconds }),
  }
  try {
    await jwtVerify(text, set, options)
    return 'good'
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return 'no key'
    throw new Refused(error instanceof errors.JOSEError ? error.code : 'malformed')
  }
}

/** `iat` is optional in a JWT-SVID; without it what is left of its life must be within the age. */
function checkAge(ctx: Ctx, { clockSkewSeconds, maxTokenAgeSeconds }: Issuer, { iat, exp }: Unverified['claims']): void {
  const nowSeconds = ctx.clock.now().getTime() / 1000
  if (typeof exp !== 'number') throw new Refused('end')
  if (iat === undefined) {
    if (exp - nowSeconds > maxTokenAgeSeconds + clockSkewSeconds) throw new Refused('age')
  } else if (typeof iat !== 'number' || nowSeconds - iat > maxTokenAgeSeconds + clockSkewSeconds || iat - nowSeconds > clockSkewSeconds) {
    throw new Refused('age')
  }
}
