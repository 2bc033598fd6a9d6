/** Who a request is counted for: before anything is known of it but its address and what it shows. */
import { isIP } from 'node:net'
import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import { JWT_MAX_CHARS, type KnownLater, type KnownTokens, type Presented } from '../identity/index.ts'
import { type Clock, RekeyError, Secret } from '../kernel/index.ts'

/** Far above what people and their scripts ask for, far below what one core answers. */
const REQUESTS_PER_MINUTE = 6_000
const WINDOW_MS = 60_000

const FORM = new RegExp(`^(Bearer|DPoP) ([A-Za-z0-9._~+/-]{1,${JWT_MAX_CHARS}}=*)$`, 'i')
/** A proof of possession holds a public key, and no more claims than a few. */
const PROOF_CHARS = 4_096

/** The token of `Authorization: Bearer` (RFC 6750 section 2.1) or `DPoP` (RFC 9449 section 7.1); `null` if there is none of that form. */
export function tokenOf(request: FastifyRequest): Secret | null {
  const token = FORM.exec(request.headers.authorization ?? '')?.[2]
  return token === undefined ? null : Secret.fromText(token)
}

/** How it was sent. */
export function schemeOf({ headers: { authorization = '' } }: FastifyRequest): 'dpop' | 'bearer' {
  return /^dpop /i.test(authorization) ? 'dpop' : 'bearer'
}

/** The token with how it was sent. `origins`: under which this request can have come. */
export function presentedOf(request: FastifyRequest, token: Secret, origins: (request: FastifyRequest) => readonly string[]): Presented {
  const { dpop } = request.headers
  const proof = typeof dpop === 'string' && dpop.length <= PROOF_CHARS ? dpop : null
  const scheme = schemeOf(request)
  const path = request.url.split('?', 1)[0] ?? ''
  return { token, scheme, proof, holder: holderOf(request), method: request.method, path, origins: origins(request) }
}

/** 256 bits, base64url; anything else is as good as nothing. */
const HOLDER = /^[A-Za-z0-9_-]{43}$/

function holderOf({ headers }: FastifyRequest): Secret | null {
  const text = headers['rekey-holder']
  return typeof text === 'string' && HOLDER.test(text) ? Secret.fromText(text) : null
}

/** What a request's cookies hold; null for what it has not. */
export interface CookiesOf {
  readonly session: (request: FastifyRequest) => Secret | null
  readonly device: (request: FastifyRequest) => Secret | null
}

/** By whom requests are known: at once, and where that costs a look. */
export interface Knowing {
  readonly known: KnownTokens
  readonly later: Pick<KnownLater, 'nameOf'>
  readonly clock: Clock
}

/** Options of the limit: `perMinute` requests for each known token or session, and for each address all others together. */
export function limitOptions(knowing: Knowing, cookies: CookiesOf, perMinute = REQUESTS_PER_MINUTE) {
  const crowd = new Crowd(knowing.clock, perMinute)
  return {
    max: perMinute,
    timeWindow: WINDOW_MS,
    keyGenerator: (request: FastifyRequest) => bucketOf(request, knowing, cookies, crowd),
    errorResponseBuilder: () =>
      new RekeyError('too_many_requests', 'Too many requests from this address or with this token.', {
        hint: 'Wait for what Retry-After says.',
      }),
  }
}

/**
 * A stranger on the same address must not use up what the holder of a token may ask; a wrong token is a stranger's. Where an address has
 * used up most of what strangers may ask, what a request shows is looked at first: its own bucket if it is good, else the address's.
 */
async function bucketOf(request: FastifyRequest, { known, later }: Knowing, cookies: CookiesOf, crowd: Crowd): Promise<string> {
  const token = tokenOf(request) ?? cookies.session(request)
  const holder = token === null ? null : known.nameOf(token)
  if (holder !== null) return `token ${holder}`
  const address = addressOf(request)
  if (!crowd.isFull(address)) return `address ${address}`
  const device = cookies.device(request)
  const shown = token === null && device === null ? null : await later.nameOf({ token, device, address })
  return shown === null ? `address ${address}` : `token ${shown}`
}

/** A bucket counts as full from this part on, so that the last of it is never spent by somebody who has one of their own. */
const FULL = 0.5
const ADDRESSES_MAX = 5_000

/** How many requests of strangers came from an address, roughly: in this window of a minute and in the one before. */
class Crowd {
  readonly #seen = new Map<string, { sinceMs: number; count: number; before: number }>()
  readonly #clock: Clock
  readonly #most: number

  constructor(clock: Clock, perMinute: number) {
    this.#clock = clock
    this.#most = perMinute * FULL
  }

  /** Counts a request, and tells whether there were too many of late. */
  isFull(address: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    const seen = this.#seen.get(address) ?? { sinceMs: nowMs, count: 0, before: 0 }
    const windows = Math.floor((nowMs - seen.sinceMs) / WINDOW_MS)
    if (windows > 0) Object.assign(seen, { sinceMs: seen.sinceMs + windows * WINDOW_MS, before: windows === 1 ? seen.count : 0, count: 0 })
    seen.count++
    this.#seen.delete(address)
    this.#seen.set(address, seen)
    const [oldest] = this.#seen.keys()
    if (this.#seen.size > ADDRESSES_MAX && oldest !== undefined) this.#seen.delete(oldest)
    return seen.count > this.#most || seen.before > this.#most
  }
}

/**
 * The socket's own address, or what a trusted proxy says of it: the last in X-Forwarded-For that is no trusted proxy. Anybody else can
 * write any X-Forwarded-For. All of loopback is one machine.
 */
export function addressOf(request: FastifyRequest): string {
  const address = rateLimit.normalizeIP(isIP(request.ip) === 0 ? (request.socket.remoteAddress ?? '') : request.ip)
  return address.startsWith('127.') || address === '::' ? 'loopback' : address
}
