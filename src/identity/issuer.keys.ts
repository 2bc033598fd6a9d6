import { createLocalJWKSet, type JWK, type LocalJWKSet } from 'jose'
import type { AddressGuard, Ctx } from '../kernel/index.ts'
import { FetchFailed, fetchObject } from './issuer.fetch.ts'
import type { Issuer } from './issuer.store.ts'

/** However many tokens ask for it: keys of an issuer are asked for no more often than this. */
const PAUSE_MS = 15_000
const KEYS_MAX = 100
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

interface Kept {
  keys: LocalJWKSet | null
  /** When `keys` were fetched, and when they were last asked for. Monotonic. */
  fetchedMs: number
  triedMs: number
  pending: Promise<void> | null
}

/**
 * The public keys of issuers. Fetched when they are needed, kept for the issuer's time and not a moment longer: a key that was taken away
 * is refused then at the latest, also where the issuer cannot be reached. From half that time on they are fetched again beside the work.
 * Only issuers on record are ever asked.
 */
export class IssuerKeys {
  readonly #guard: AddressGuard
  readonly #kept = new Map<string, Kept>()

  constructor(guard: AddressGuard) {
    this.#guard = guard
  }

  /** Keys that count at this moment; null if they cannot be had. */
  async current(ctx: Ctx, issuer: Issuer): Promise<LocalJWKSet | null> {
    if (issuer.keys.from === 'inline') return keySet(issuer, issuer.keys.jwks)
    const kept = this.#entry(issuer)
    const ageMs = this.#age(ctx, kept)
    const maxMs = issuer.keysMaxAgeSeconds * 1000
    if (ageMs >= maxMs) await this.#refresh(ctx, issuer, kept)
    else if (ageMs >= maxMs / 2) void this.#refresh(ctx, issuer, kept)
    return this.#age(ctx, kept) < maxMs ? kept.keys : null
  }

  /** The keys after another look, for a token whose key is not among them; null if it is too soon for one, or nothing came. */
  async again(ctx: Ctx, issuer: Issuer): Promise<LocalJWKSet | null> {
    if (issuer.keys.from === 'inline') return null
    const kept = this.#entry(issuer)
    const before = kept.fetchedMs
    await this.#refresh(ctx, issuer, kept)
    return kept.fetchedMs === before ? null : kept.keys
  }

  #age(ctx: Ctx, { keys, fetchedMs }: Kept): number {
    return keys === null ? Number.POSITIVE_INFINITY : ctx.clock.monotonicMs() - fetchedMs
  }

  #entry({ id }: Issuer): Kept {
    const present = this.#kept.get(id)
    if (present !== undefined) return present
    const made: Kept = { keys: null, fetchedMs: Number.NEGATIVE_INFINITY, triedMs: Number.NEGATIVE_INFINITY, pending: null }
    this.#kept.set(id, made)
    return made
  }

  /** One at a time for each issuer; whoever comes meanwhile waits for the same. Never rejects. */
  async #refresh(ctx: Ctx, issuer: Issuer, kept: Kept): Promise<void> {
    if (kept.pending !== null) return kept.pending
    if (ctx.clock.monotonicMs() - kept.triedMs < PAUSE_MS) return
    kept.triedMs = ctx.clock.monotonicMs()
    kept.pending = this.#fetch(ctx, issuer, kept).finally(() => {
      kept.pending = null
    })
    return kept.pending
  }

  async #fetch(ctx: Ctx, issuer: Issuer, kept: Kept): Promise<void> {
    try {
      const startedMs = ctx.clock.monotonicMs()
      const keys = keySet(issuer, await fetchObject(this.#guard, await this.#address(issuer)))
      if (keys === null) throw new FetchFailed('there is no key that could be used')
      kept.keys = keys
      // From before they were asked for: what was taken away since then must not count longer.
      kept.fetchedMs = startedMs
    } catch (error) {
      const why = error instanceof FetchFailed ? error.message : 'failed'
      ctx.log.warn({ issuer: issuer.name, why }, 'the keys of an issuer could not be fetched')
    }
  }

  /** OpenID Connect Discovery 1.0 section 4: the document names the issuer that it was asked of, or it is not its document. */
  async #address({ origin, keys }: Issuer): Promise<string> {
    if (keys.from === 'url') return keys.url
    const document = await fetchObject(this.#guard, `${origin.replace(/\/$/, '')}/.well-known/openid-configuration`)
    return keysAddress(origin, document)
  }
}

/**
 * Where a discovery document of this issuer says that its keys are. Throws `FetchFailed` where it is another's document, says nothing, or
 * sends us to this very machine (plain http) though the issuer is elsewhere.
 */
export function keysAddress(origin: string, { issuer, jwks_uri: address }: Record<string, unknown>): string {
  if (issuer !== origin) throw new FetchFailed('the discovery document names another issuer')
  if (typeof address !== 'string' || !URL.canParse(address)) throw new FetchFailed('the discovery document names no keys')
  const isPlain = (url: string) => new URL(url).protocol === 'http:'
  if (isPlain(address) && !isPlain(origin)) throw new FetchFailed('the address of the keys is not https')
  return address
}

/**
 * What of a JSON Web Key Set (RFC 7517 section 5) can check a signature: public keys that are meant for it, in a SPIFFE bundle those
 * with `use` `jwt-svid`. Unknown kinds of keys are passed over, as the RFC asks. Null if nothing is left, or it is no key set.
 */
export function keySet({ type }: Pick<Issuer, 'type'>, jwks: unknown): LocalJWKSet | null {
  const listed = typeof jwks === 'object' && jwks !== null ? (jwks as { keys?: unknown }).keys : undefined
  if (!Array.isArray(listed) || listed.length > KEYS_MAX) return null
  const keys = listed.flatMap((key: unknown): JWK[] => {
    if (typeof key !== 'object' || key === null) return []
    const { use, ...jwk } = key as JWK
    if (!['RSA', 'EC', 'OKP'].includes(jwk.kty ?? '') || PRIVATE.some((member) => Object.hasOwn(jwk, member))) return []
    if (type === 'spiffe' ? use !== 'jwt-svid' : use !== undefined && use !== 'sig') return []
    return [jwk]
  })
  return keys.length === 0 ? null : createLocalJWKSet({ keys })
}
