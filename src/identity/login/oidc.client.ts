import type { IncomingMessage } from 'node:http'
import { importJWK, type JWK } from 'jose'
import * as oidc from 'openid-client'
import { type AddressGuard, type Ctx, isCode, RekeyError, type Secret } from '../../kernel/index.ts'
import type { Keyring } from '../../keys/index.ts'
import { open } from '../../seal/index.ts'
import type { Sql } from '../../store/index.ts'
import { askGuarded } from '../reach.ts'
import { type ProviderRow, providerKeyBound, providerSecretBound } from './provider.store.ts'

/** One request to a provider, milliseconds. A login makes at most three. */
const CALL_MS = 5_000
/** Documents of providers are a few KB. */
const ANSWER_BYTES = 512 * 1024
/** How long what a provider says of itself is kept, milliseconds: long enough for a login, short enough for its changes. */
const KEEP_MS = 10 * 60_000
/** How long it is not asked again after it did not answer, milliseconds: anybody may begin a login. */
const FAILED_MS = 3_000

type Row = Omit<ProviderRow, 'created_at'>

interface Kept {
  readonly config: Promise<oidc.Configuration>
  untilMs: number
}

/** Clients of the providers, one each, with what their discovery said. Every request goes through the address guard. */
export class OidcClients {
  readonly #keyring: Keyring
  readonly #guard: AddressGuard
  readonly #kept = new Map<string, Kept>()

  constructor(keyring: Keyring, guard: AddressGuard) {
    this.#keyring = keyring
    this.#guard = guard
  }

  /** The client of a provider. Throws `unavailable` if its discovery document cannot be had, or is not the issuer's. */
  async of(sql: Sql, ctx: Ctx, row: Row): Promise<oidc.Configuration> {
    const now = ctx.clock.monotonicMs()
    const kept = this.#kept.get(row.id)
    if (kept !== undefined && kept.untilMs > now) return kept.config
    // Asked once for all who wait.
    const entry = { config: this.#secretOf(sql, row).then((secret) => this.#discover(ctx, row, secret)), untilMs: now + KEEP_MS }
    entry.config.catch(() => {
      entry.untilMs = ctx.clock.monotonicMs() + FAILED_MS
    })
    this.#kept.set(row.id, entry)
    return entry.config
  }

  /**
   * Reads the discovery document of a provider that is not stored yet. Resolves with its issuer as the document writes it, which is how its
   * tokens do. Throws as `of`, `bad_input` for a key that is no private JWK.
   */
  async probe(ctx: Ctx, row: Row, secret: Secret | null): Promise<string> {
    return (await this.#discover(ctx, row, secret)).serverMetadata().issuer
  }

  async #secretOf(sql: Sql, { id, kek_id, wrapped_key, sealed }: Row): Promise<Secret | null> {
    if (kek_id === null || wrapped_key === null || sealed === null) return null
    return open(await this.#keyring.unwrap(sql, kek_id, wrapped_key, providerKeyBound(id)), sealed, providerSecretBound(id))
  }

  async #discover(ctx: Ctx, row: Row, secret: Secret | null): Promise<oidc.Configuration> {
    const auth = await authOf(row, secret)
    // The provider answers for itself over TLS; that its tokens are also signed by its keys is checked as well.
    const execute = [oidc.enableNonRepudiationChecks]
    if (row.issuer.startsWith('http://')) execute.push(oidc.allowInsecureRequests)
    try {
      return await oidc.discovery(new URL(row.issuer), row.client_id, {}, auth, {
        execute,
        timeout: CALL_MS / 1000,
        [oidc.customFetch]: (url, options) => this.#fetch(url, options),
      })
    } catch (error) {
      ctx.log.warn({ provider: row.name, fault: faultOf(error) }, 'a login provider could not be asked about itself')
      throw new RekeyError('unavailable', 'The login provider does not answer as it should.', {
        hint: 'Try again later; the log says more.',
        cause: error,
      })
    }
  }

  /** Never to a refused address, never after a redirect, never for long, never much. */
  async #fetch(url: string, options: oidc.CustomFetchOptions): Promise<Response> {
    const limit = AbortSignal.timeout(CALL_MS)
    const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit])
    const { method, body } = options
    // What a browser would make of it: bytes, and their type.
    const made = new Request(url, { method, headers: options.headers, body: body ?? null })
    const headers = { ...Object.fromEntries(made.headers), 'accept-encoding': 'identity' }
    const sent = made.body === null ? null : new Uint8Array(await made.arrayBuffer())
    try {
      const answer = await askGuarded(this.#guard, new URL(url), { method: made.method, headers, body: sent, signal })
      return new Response(await readSome(answer), { status: answer.statusCode ?? 502, headers: headersOf(answer) })
    } catch (error) {
      if (isCode(error, 'target_unsupported') || isCode(error, 'target_unreachable')) throw error
      throw new RekeyError('unavailable', 'The login provider does not answer.', { cause: error })
    }
  }
}

function headersOf({ headersDistinct }: IncomingMessage): Headers {
  const headers = new Headers()
  for (const [name, values] of Object.entries(headersDistinct)) for (const value of values ?? []) headers.append(name, value)
  return headers
}

/** Names of what failed, outermost first; no texts, which may quote what came from outside. */
function faultOf(error: unknown): string {
  const names: string[] = []
  for (let at = error; at instanceof Error && names.length < 4; at = at.cause)
    names.push(String((at as { code?: unknown }).code ?? at.name))
  return names.join(', ')
}

/** The body, if it is not too large. A status without a body must get none. */
async function readSome(answer: IncomingMessage): Promise<Buffer<ArrayBuffer> | null> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > ANSWER_BYTES) {
      answer.destroy()
      throw new Error('the answer is too large')
    }
    chunks.push(chunk)
  }
  return answer.statusCode === 204 || answer.statusCode === 304 ? null : Buffer.concat(chunks)
}

async function authOf({ auth }: Row, secret: Secret | null): Promise<oidc.ClientAuth> {
  if (auth === 'none' || secret === null) return oidc.None()
  if (auth === 'private_key_jwt') return oidc.PrivateKeyJwt(await privateKeyOf(secret))
  return secret.revealText((text) => (auth === 'client_secret_basic' ? oidc.ClientSecretBasic(text) : oidc.ClientSecretPost(text)))
}

async function privateKeyOf(secret: Secret): Promise<oidc.PrivateKey> {
  const wrong = () => new RekeyError('bad_input', 'The key of the client is not a private JWK with its algorithm ("alg").')
  let jwk: JWK
  try {
    jwk = secret.revealText((text) => JSON.parse(text))
  } catch {
    throw wrong()
  }
  if (typeof jwk !== 'object' || jwk === null || typeof jwk.d !== 'string' || typeof jwk.alg !== 'string') throw wrong()
  const key = await importJWK(jwk, jwk.alg).catch(() => null)
  if (key === null || key instanceof Uint8Array) throw wrong()
  return { key, ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) }
}
