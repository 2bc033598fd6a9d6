import { calculateJwkThumbprint, errors, importJWK, type JWK, jwtVerify } from 'jose'
import { type Ctx, Secret } from '../kernel/index.ts'
import { sha256Hex } from '../seal/index.ts'
import type { Sql } from '../store/index.ts'
import { seeOnce } from './issuer.store.ts'
import { Refused, readJwt } from './workload.jwt.ts'

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519']
/** How old a proof may be, and how far its clock may be ahead, seconds. */
const PROOF_SECONDS = 60
const JTI_CHARS = 256
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']
const MEMBERS = ['typ', 'alg', 'jwk', 'kid']

/** How a token was presented. */
export interface Presented {
  readonly token: Secret
  /** Bearer (RFC 6750), or DPoP (RFC 9449 section 7.1). */
  readonly scheme: 'bearer' | 'dpop'
  /** The header `DPoP`; null if there is none. */
  readonly proof: string | null
  /** The header `Rekey-Holder`: a secret of one command, by which its signed token counts again; null if there is none. */
  readonly holder: Secret | null
  readonly method: string
  /** Without its query. */
  readonly path: string
  /** Addresses under which this very request can have been sent, as origins; empty: not known, so no proof can be checked. */
  readonly origins: readonly string[]
}

/**
 * Checks a proof of possession (RFC 9449 section 4.3) for a token that is bound to the key with this thumbprint (section 6.1). Throws
 * `Refused`. A proof counts once, at every server.
 */
export async function checkProof(sql: Sql, ctx: Ctx, presented: Presented, thumbprint: string): Promise<void> {
  const proof = presented.scheme === 'dpop' && presented.proof !== null ? readJwt(presented.proof) : null
  if (proof === null) throw new Refused('no proof of possession')
  const { header, claims } = proof
  const { typ, jwk } = header
  if (typ !== 'dpop+jwt' || Object.keys(header).some((member) => !MEMBERS.includes(member))) throw new Refused('header of the proof')
  if (typeof jwk !== 'object' || jwk === null || PRIVATE.some((member) => Object.hasOwn(jwk, member))) throw new Refused('key of the proof')
  try {
    const { alg } = header as { alg?: string }
    await jwtVerify(proof.text, await importJWK(jwk as JWK, alg ?? ''), { algorithms: ALGORITHMS, currentDate: ctx.clock.now() })
    if ((await calculateJwkThumbprint(jwk as JWK)) !== thumbprint) throw new Refused('another key')
  } catch (error) {
    if (error instanceof Refused) throw error
    throw new Refused(error instanceof errors.JOSEError ? error.code : 'malformed proof')
  }
  const { htm, htu, iat, jti, ath } = claims
  const hash = Buffer.from(sha256Hex(presented.token), 'hex').toString('base64url')
  if (htm !== presented.method || ath !== hash || !isHere(presented, htu)) throw new Refused('proof of something else')
  const nowSeconds = ctx.clock.now().getTime() / 1000
  if (typeof iat !== 'number' || Math.abs(nowSeconds - iat) > PROOF_SECONDS) throw new Refused('age of the proof')
  if (typeof jti !== 'string' || jti === '' || jti.length > JTI_CHARS) throw new Refused('id of the proof')
  const until = new Date((iat + 2 * PROOF_SECONDS) * 1000)
  if (!(await seeOnce(sql, `dpop:${thumbprint}`, sha256Hex(Secret.fromText(jti)), until))) throw new Refused('proof seen before')
}

/** RFC 9449 section 4.3: without query and fragment, after normalisation. */
function isHere({ origins, path }: Presented, htu: unknown): boolean {
  if (typeof htu !== 'string' || !URL.canParse(htu)) return false
  const url = new URL(htu)
  return origins.includes(url.origin) && url.pathname === path && url.username === '' && url.password === ''
}
