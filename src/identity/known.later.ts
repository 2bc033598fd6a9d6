/** Whether what a request shows counts, asked before the request is answered: only where its address has used up what strangers may ask. */
import type { Ctx, Secret } from '../kernel/index.ts'
import { sha256Hex } from '../seal/index.ts'
import type { Sql, Store } from '../store/index.ts'
import type { IssuerKeys } from './issuer.keys.ts'
import { ruleFor } from './issuer.model.ts'
import { type Issuer, type Rule, rulesOf, trustedIssuers } from './issuer.store.ts'
import { GOOD } from './token.store.ts'
import { originsOf, Refused, readJwt, type Unverified, verifyJwt } from './workload.jwt.ts'

/** Hashes that one statement looks up at most. Above that a request is a stranger's: more than a server answers in that time. */
const AT_ONCE = 1_000
/** Signatures that are checked for one claim rule and one address, a second. */
const CHECKS_PER_SECOND = 20
/** How long issuers and rules are believed here, milliseconds. Nobody is let in by it: who asks is proven anew. */
const TRUST_MS = 1_000
/** How long a signature that held, or did not, is not checked again, milliseconds: keys and clocks change. */
const GOOD_MS = 60_000
const BAD_MS = 5_000
/** Tokens whose answer is kept, and counters of checks, at most. */
const KEPT_MAX = 1_000

/** What a request shows of itself. */
export interface Shown {
  readonly token: Secret | null
  /** By which a browser is known from an earlier login. */
  readonly device: Secret | null
  readonly address: string
}

interface Trust {
  readonly issuer: Issuer
  readonly rules: readonly Rule[]
}

/**
 * Tells whose a request is that shows something good: a session, an API token, a token of a directory, a browser in which somebody has
 * logged in, or a signed token whose signature holds. It authenticates nobody; it tells in whose bucket a request counts. What is random is
 * looked up by its hash, all that wait in one statement, so that any number of false ones keeps no true one waiting. Signatures are
 * checked only for tokens that say what a claim rule asks, a few in a second for each rule and address.
 */
export class KnownLater {
  readonly #store: Store
  readonly #ctx: Ctx
  readonly #keys: IssuerKeys
  readonly #waiting = new Map<string, ((found: boolean) => void)[]>()
  #asking = false
  /** Signed tokens by hash: whether the signature held. */
  readonly #checked = new Map<string, { readonly good: boolean; readonly untilMs: number }>()
  readonly #spent = new Map<string, { readonly sinceMs: number; count: number }>()
  #trust: { readonly untilMs: number; readonly of: Promise<Trust[]> } | null = null

  constructor(store: Store, ctx: Ctx, keys: IssuerKeys) {
    this.#store = store
    this.#ctx = ctx
    this.#keys = keys
  }

  /** A name for the requests of whoever shows this, never the token; null for a stranger, and where the database does not answer. */
  async nameOf({ token, device, address }: Shown): Promise<string | null> {
    try {
      if (token !== null) {
        const jwt = token.revealText(readJwt)
        const hash = sha256Hex(token)
        if (jwt === null ? await this.#isStored(hash) : await this.#holds(hash, jwt, address)) return hash
      }
      if (device === null) return null
      const hash = sha256Hex(device)
      return (await this.#isStored(hash)) ? hash : null
    } catch (error) {
      this.#ctx.log.warn({ fault: (error as Error).name }, 'whose requests to count could not be looked up')
      return null
    }
  }

  #isStored(hash: string): Promise<boolean> {
    const others = this.#waiting.get(hash)
    if (others === undefined && this.#waiting.size >= AT_ONCE) return Promise.resolve(false)
    return new Promise((resolve) => {
      if (others === undefined) this.#waiting.set(hash, [resolve])
      else others.push(resolve)
      void this.#ask()
    })
  }

  /** One statement at a time, with all that came while the one before was on its way. Never rejects. */
  async #ask(): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    while (this.#waiting.size > 0) {
      const batch = new Map(this.#waiting)
      this.#waiting.clear()
      const found = await storedHashes(this.#store, [...batch.keys()]).catch(() => new Set<string>())
      for (const [hash, all] of batch) for (const tell of all) tell(found.has(hash))
    }
    this.#asking = false
  }

  /** Whether the signature of a token holds that says what a rule asks. Not whether it was shown before: that uses it up. */
  async #holds(hash: string, jwt: Unverified, address: string): Promise<boolean> {
    const before = this.#checked.get(hash)
    const nowMs = this.#ctx.clock.monotonicMs()
    if (before !== undefined && before.untilMs > nowMs) return before.good
    const { iss, trustDomain } = originsOf(jwt)
    const found = (await this.#trusted()).find(({ issuer: { type, origin } }) => origin === (type === 'spiffe' ? trustDomain : iss))
    const rule = found === undefined ? null : ruleFor(found.rules, 'subject', jwt.claims)
    if (found === undefined || rule === null || rule === 'several' || !this.#take(`${rule.id} ${address}`)) return false
    const good = await verifyJwt(this.#ctx, this.#keys, found.issuer, jwt).then(
      () => true,
      (error: unknown) => {
        if (!(error instanceof Refused)) throw error
        return false
      },
    )
    keep(this.#checked, hash, { good, untilMs: nowMs + (good ? GOOD_MS : BAD_MS) })
    return good
  }

  #take(key: string): boolean {
    const nowMs = this.#ctx.clock.monotonicMs()
    const spent = this.#spent.get(key)
    if (spent === undefined || nowMs - spent.sinceMs >= 1_000) keep(this.#spent, key, { sinceMs: nowMs, count: 1 })
    else if (spent.count >= CHECKS_PER_SECOND) return false
    else spent.count++
    return true
  }

  #trusted(): Promise<Trust[]> {
    const nowMs = this.#ctx.clock.monotonicMs()
    if (this.#trust === null || this.#trust.untilMs < nowMs) {
      const of = readTrust(this.#store)
      of.catch(() => undefined)
      this.#trust = { untilMs: nowMs + TRUST_MS, of }
    }
    return this.#trust.of
  }
}

function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > KEPT_MAX && oldest !== undefined) map.delete(oldest)
}

async function readTrust(sql: Sql): Promise<Trust[]> {
  const issuers = await trustedIssuers(sql)
  return Promise.all(issuers.map(async (issuer) => ({ issuer, rules: await rulesOf(sql, issuer.id) })))
}

/** Which of these hashes are of something that is good now. */
async function storedHashes(sql: Sql, hashes: readonly string[]): Promise<Set<string>> {
  const found = await sql.query<{ hash: string }>(
    `select x.hash from unnest($1::text[]) x(hash) cross join lateral (select decode(x.hash, 'hex') as raw) h
      where exists (select from session s where s.hash = h.raw and s.ended_at is null and s.ends_at > now())
         or exists (select from api_token t where t.hash = h.raw and ${GOOD})
         or exists (select from scim_token t where t.hash = h.raw and ${GOOD})
         or exists (select from login_device d where d.hash = h.raw)`,
    [hashes],
  )
  return new Set(found.map(({ hash }) => hash))
}
