import { readFile, stat } from 'node:fs/promises'
import type { CliConfig } from '../config.ts'
import { ERRORS, type ErrorCode, type ErrorExtra, newId, RekeyError, Secret, sleep } from '../kernel/index.ts'
import { randomSecret } from '../seal/index.ts'
import { readEvents, type ServerEvent } from './events.ts'
import { NoServer } from './exit.ts'
import { warnIfReadable } from './files.ts'
import { checkListener, trustedUids } from './listener.ts'

/** Pauses before a request is sent again after a lost connection, milliseconds. */
const RETRY_PAUSES_MS = [200, 1000]
/** Three missed heartbeats: the stream is dead, whatever TCP thinks. */
const SILENCE_MS = 45_000
const PAGE = 500
const HOLDER_BYTES = 32

type Query = Readonly<Record<string, string | number | undefined>>

/** A page of a list. */
interface Page<T> {
  readonly items: readonly T[]
  readonly next?: string | null
}

/**
 * Opens the way to the server. Throws `config_invalid` if the address or the token file cannot be used, or if the token would go over
 * the network in the clear; `NoServer` if there is neither a token nor a server. What the client sends goes to no stranger's port on
 * this machine: `forbidden`.
 */
export async function openClient(config: CliConfig, warn: (text: string) => void): Promise<Client> {
  const base = parseServerUrl(config.url)
  const { token, owner } = await readToken(config.tokenFile, base, warn)
  return new Client(base, token, trustedUids(owner, config.serverUid))
}

/** The server's address. Throws `config_invalid` if it is none, or is not encrypted and leads to another machine. */
export function parseServerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.search || url.hash) {
    throw new RekeyError('config_invalid', `${text} is not the address of a server.`, {
      hint: 'Set REKEY_URL, for example http://127.0.0.1:7395',
    })
  }
  if (url.username || url.password) {
    throw new RekeyError('config_invalid', 'The address of the server must not carry a name or a password.', { hint: 'Correct REKEY_URL.' })
  }
  // "Every address of this machine" is what a server may listen on; to speak to it, one is enough.
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1'
  if (url.hostname === '[::]') url.hostname = '[::1]'
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw new RekeyError('config_invalid', `The token and secrets are not sent to ${url.host} over http, where others can read them.`, {
      hint: 'Use https:// in REKEY_URL, or run the command on the server itself.',
    })
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

/** By the parsed host name, in which `127.1` and `0x7f000001` are already `127.0.0.1`. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

async function readToken(path: string, base: URL, warn: (text: string) => void): Promise<{ token: Secret; owner: number }> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => error)
  if (typeof text !== 'string') {
    // A missing token most often means a missing server: say that first.
    if (text.code === 'ENOENT') await fetch(new URL('healthz', base), { redirect: 'manual' }).catch((cause) => refuse(base, cause))
    throw new RekeyError('config_invalid', `The token cannot be read: ${path} (${text.code ?? 'unknown'}).`, {
      hint: 'Set REKEY_TOKEN_FILE, or REKEY_DATA to the data folder of the server, and run as the user that it runs as.',
    })
  }
  const token = text.trim()
  // Anything else would be refused by the HTTP library with an error text that quotes it.
  if (!/^[\x21-\x7e]+$/.test(token)) throw new RekeyError('config_invalid', `${path} does not hold a token.`)
  const { mode, uid } = await stat(path)
  warnIfReadable(`the token file ${path}`, mode, warn)
  return { token: Secret.fromText(token), owner: uid }
}

function refuse(base: URL, cause: unknown): never {
  throw new NoServer(base.origin, { lost: false, cause })
}

/** The HTTP API. Every method rejects with a `RekeyError`: the server's own, or `NoServer`. */
export class Client {
  readonly #base: URL
  readonly #token: Secret
  /** With a signed token, which counts once: by this secret of one command it counts for all of its requests. */
  readonly #holder: Secret | null
  readonly #trusted: readonly number[]

  /** `trusted`: the users (ids) that may listen at a loopback address, see `checkListener`. */
  constructor(base: URL, token: Secret, trusted: readonly number[]) {
    this.#base = base
    this.#token = token
    const signed = token.revealText((text) => text.split('.').length === 3)
    this.#holder = signed ? randomSecret(HOLDER_BYTES).reveal((bytes) => Secret.fromText(Buffer.from(bytes).toString('base64url'))) : null
    this.#trusted = trusted
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return jsonOf<T>(await this.#send('GET', path, { query }))
  }

  /** `startsWork` adds an `Idempotency-Key`, so that a request whose answer was lost can be sent again. */
  async post<T>(path: string, body: unknown, options: { readonly startsWork: boolean }): Promise<T> {
    return jsonOf<T>(await this.#send('POST', path, { body, startsWork: options.startsWork }))
  }

  /** All items of a list, page after page, at most `most`. */
  async *items<T>(path: string, query: Query = {}, most = Number.POSITIVE_INFINITY): AsyncGenerator<T> {
    let left = most
    for (let after: string | undefined; left > 0; ) {
      const page: Page<T> = await this.get(path, { ...query, after, limit: Math.min(PAGE, left) })
      yield* page.items.slice(0, left)
      left -= page.items.length
      // A page may be empty while there is more: what was looked at may have had nothing to show.
      if (!page.next || page.next === after) return
      after = page.next
    }
  }

  /** All items in memory. */
  async all<T>(path: string, query: Query = {}, most?: number): Promise<T[]> {
    const all: T[] = []
    for await (const item of this.items<T>(path, query, most)) all.push(item)
    return all
  }

  /** The bytes of an answer as they come. */
  async *bytes(path: string): AsyncGenerator<Uint8Array> {
    const answer = await this.#send('GET', path, {})
    yield* this.#body(answer)
  }

  /** Events until the stream ends. Throws `NoServer` when the connection is lost, also by silence; ends quietly when `signal` aborts. */
  async *events(path: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    const silence = new AbortController()
    const either = AbortSignal.any([signal, silence.signal])
    const timer = setTimeout(() => silence.abort(), SILENCE_MS)
    try {
      const answer = await this.#send('GET', path, { accept: 'text/event-stream', signal: either, once: true })
      const body = this.#body(answer)
      yield* readEvents(
        (async function* () {
          for await (const chunk of body) {
            timer.refresh()
            yield chunk
          }
        })(),
      )
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      clearTimeout(timer)
    }
  }

  async *#body(answer: Response): AsyncGenerator<Uint8Array> {
    if (!answer.body) return
    try {
      yield* answer.body
    } catch (cause) {
      throw new NoServer(this.#base.origin, { lost: true, cause })
    }
  }

  async #send(method: string, path: string, how: Sending): Promise<Response> {
    const url = new URL(path.replace(/^\//, ''), this.#base)
    for (const [name, value] of Object.entries(how.query ?? {})) if (value !== undefined) url.searchParams.set(name, String(value))
    const headers = new Headers({ accept: how.accept ?? 'application/json, text/html' })
    this.#token.revealText((token) => headers.set('authorization', `Bearer ${token}`))
    this.#holder?.revealText((text) => headers.set('rekey-holder', text))
    if (how.body !== undefined) headers.set('content-type', 'application/json')
    if (how.startsWork) headers.set('idempotency-key', newId())
    const body = how.body === undefined ? undefined : JSON.stringify(how.body)
    const pauses = how.once || (method === 'POST' && !how.startsWork) ? [] : RETRY_PAUSES_MS
    const answer = await this.#fetch(url, { method, headers, body, signal: how.signal, redirect: 'manual' }, pauses)
    if (!answer.ok) throw await problemOf(answer)
    return answer
  }

  async #fetch(url: URL, init: RequestInit, pauses: readonly number[]): Promise<Response> {
    for (let tried = 0; ; tried++) {
      // Anew each time: a connection that was lost may be one to a server that has stopped, and its port is free for anybody.
      await checkListener(this.#base, this.#trusted)
      try {
        return await fetch(url, init)
      } catch (cause) {
        const pause = pauses[tried]
        const lost = !neverConnected(cause)
        if (!lost || pause === undefined) throw new NoServer(this.#base.origin, { lost, cause })
        await sleep(pause)
      }
    }
  }
}

interface Sending {
  readonly query?: Query
  readonly body?: unknown
  readonly startsWork?: boolean
  readonly accept?: string
  readonly signal?: AbortSignal
  /** Never sent again by itself. */
  readonly once?: boolean
}

/** True if the request cannot have reached a server. */
function neverConnected(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  const code = cause instanceof Error && 'code' in cause ? cause.code : ''
  return ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'].includes(String(code))
}

async function jsonOf<T>(answer: Response): Promise<T> {
  const text = await answer.text().catch((cause) => {
    throw new NoServer(new URL(answer.url).origin, { lost: true, cause })
  })
  try {
    return (text === '' ? null : JSON.parse(text)) as T
  } catch {
    throw new RekeyError('internal', 'The server answered with something else than JSON.', { hint: 'Is REKEY_URL the address of Rekey?' })
  }
}

/** The server's problem (RFC 9457) as our error. What is not a problem of Rekey gets `unavailable` with its HTTP status. */
export async function problemOf(answer: Response): Promise<RekeyError> {
  const body: unknown = await answer.json().catch(() => null)
  if (!isProblem(body)) {
    const hint =
      answer.status >= 300 && answer.status < 400
        ? 'Something redirects: set REKEY_URL to where it leads.'
        : 'Is REKEY_URL the address of Rekey?'
    return new RekeyError('unavailable', `The server answered with HTTP status ${answer.status} and no reason.`, { hint })
  }
  const code = Object.hasOwn(ERRORS, body.code) ? (body.code as ErrorCode) : 'internal'
  return new RekeyError(code, body.detail ?? body.title ?? body.code, { hint: body.hint, faults: body.faults })
}

interface Problem {
  readonly code: string
  readonly title?: string
  readonly detail?: string
  readonly hint?: string
  readonly faults?: ErrorExtra['faults']
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'code' in body && typeof body.code === 'string'
}

/** For what is only said beside the answer: null where the asker may not know it. */
export async function ifAllowed<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof RekeyError && error.code === 'forbidden') return null
    throw error
  }
}
