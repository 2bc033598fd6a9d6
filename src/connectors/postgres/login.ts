import { isIP, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { newId, type Secret } from '../../kernel/index.ts'
import { md5Answer, type ScramKey, ScramLogin } from '../../seal/index.ts'
import type { Address } from '../contract.ts'
import { GOODBYE_MS, gaveUp } from '../deadline.ts'
import { Intake } from '../intake.ts'
import { tlsOptions } from '../tls.ts'
import { isVerified } from './guard.ts'
import { APPLICATION_PREFIX } from './wire.ts'

const PROTOCOL_3 = 196_608
const SSL_REQUEST = 80_877_103
/** No message of a login is near this; a server that announces a longer one is not believed. */
const LONGEST_MESSAGE = 64 * 1024
const MECHANISM = 'SCRAM-SHA-256'

interface Message {
  /** One letter; what it means is in the manual, chapter "Message Formats". */
  readonly kind: string
  readonly body: Buffer
}

/** A fault of the way or of the server's manners. `code` is what evidence may call it. */
function fault(code: string): Error {
  return Object.assign(new Error(`The login failed: ${code}.`), { code })
}

function message(kind: string, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  const head = Buffer.alloc(kind.length + 4)
  head.write(kind, 'latin1')
  head.writeInt32BE(body.length + 4, kind.length)
  return Buffer.concat([head, body])
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** Cuts what arrives into messages. */
class Inbox {
  #data: Buffer = Buffer.alloc(0)
  #fault: unknown = null
  #wake: () => void = () => undefined

  constructor(stream: Socket) {
    const intake = new Intake((fault) => {
      this.#fail(fault)
      stream.destroy()
    })
    stream.on('data', (chunk: Buffer) => {
      intake.take(chunk.length)
      this.#data = this.#data.length === 0 ? chunk : Buffer.concat([this.#data, chunk])
      this.#wake()
    })
    stream.on('error', (error) => this.#fail(error))
    stream.on('close', () => this.#fail(fault('CLOSED')))
  }

  #fail(error: unknown): void {
    this.#fault ??= error
    this.#wake()
  }

  /** The next whole message that is there, or null. Throws for one that cannot be. */
  take(): Message | null {
    if (this.#data.length < 5) return null
    const length = this.#data.readInt32BE(1)
    if (length < 4 || length > LONGEST_MESSAGE) throw fault('NOT_POSTGRESQL')
    if (this.#data.length < 1 + length) return null
    const next = { kind: String.fromCharCode(this.#data[0] ?? 0), body: this.#data.subarray(5, 1 + length) }
    this.#data = this.#data.subarray(1 + length)
    return next
  }

  /** Resolves when more has arrived; rejects when nothing more will. */
  async more(): Promise<void> {
    const before = this.#data
    while (this.#data === before) {
      if (this.#fault !== null) throw this.#fault
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

/**
 * A login and nothing else: what a probe needs, with the protocol's own messages. The library was used before; with its client for every
 * login, and its SCRAM through Web Crypto, a rotation took 1.5 times the floor's processor time in Node, now 1.1 (bench/rotation.ts).
 *
 * The server may be anybody's, so the value itself is never sent: challenges are answered (SCRAM-SHA-256, MD5), and a server that
 * answers SCRAM must show at the end that it holds the verifier. No options are sent: it is the login that a consumer makes.
 */
export class Login {
  readonly #address: Address
  /** As whom it logs in. */
  readonly account: string
  readonly #secret: Secret
  readonly #known: ScramKey | undefined
  /** What this login alone calls itself on the server. */
  readonly application = `${APPLICATION_PREFIX}${newId().slice(-12)}`
  #stream: Socket
  #inbox: Inbox | null = null
  #asked = false
  #scram: ScramLogin | null = null
  /** The end of SCRAM was right. */
  #confirmed = false
  /** The server said that the login is good. */
  #admitted = false
  #pid: number | null = null

  /** `known`: of this value, from its verifier; saves the slow part of SCRAM. */
  constructor(address: Address, account: string, secret: Secret, known?: ScramKey) {
    this.#address = address
    this.account = account
    this.#secret = secret
    this.#known = known
    this.#stream = new Socket()
  }

  /** Whether the server asked for a password. If it let us in without, being let in says nothing of the value. */
  get passwordAsked(): boolean {
    return this.#asked
  }

  /** Whether the server showed that it is the right one: by the end of SCRAM, or by its certificate. After MD5 it could be anybody. */
  get serverProven(): boolean {
    return this.#confirmed || isVerified(this.#address, this.#stream)
  }

  /** The server process that serves us; null before the login. */
  get pid(): number | null {
    return this.#pid
  }

  /** Resolves when the server is ready for a query. Rejects with its error (`severity`, SQLSTATE as `code`), or a fault's `code`. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.#bounded(signal, async () => {
      await this.#open()
      const inbox = new Inbox(this.#stream)
      await this.#converse(inbox)
      this.#inbox = inbox
    })
  }

  /** The first column of the first row that a constant query answers, as text; null if the server refuses it or answers none. */
  async ask(signal: AbortSignal, query: string): Promise<string | null> {
    const inbox = this.#inbox
    if (inbox === null) return null
    return this.#bounded(signal, async () => {
      this.#stream.write(message('Q', `${query}\0`))
      let first: string | null = null
      for (;;) {
        const next = inbox.take()
        if (next === null) await inbox.more()
        else if (next.kind === 'Z') return first
        else if (next.kind === 'D') first ??= firstColumn(next.body)
      }
    })
  }

  async #bounded<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (signal.aborted) throw gaveUp('PostgreSQL')
    const abort = () => this.#stream.destroy()
    signal.addEventListener('abort', abort, { once: true })
    try {
      return await work()
    } catch (error) {
      this.#stream.destroy()
      throw signal.aborted ? gaveUp('PostgreSQL') : error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** Says goodbye and waits until the server has closed, so that it counts no connection of ours afterwards; then lets go anyway. */
  async end(): Promise<void> {
    const stream = this.#stream
    if (this.#pid === null || stream.destroyed || stream.writableEnded) return void stream.destroy()
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, GOODBYE_MS)
      stream.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
      stream.end(message('X'))
    })
    stream.destroy()
  }

  async #open(): Promise<void> {
    const { host, tls } = this.#address
    const plain = this.#stream
    await settled(plain, 'connect', () => plain.setNoDelay(true).connect(placeOf(this.#address)))
    if (tls === 'off') return
    // Exactly one byte: what somebody put behind it in the clear must not pass for what came through TLS.
    const reply = await settled<Buffer>(plain, 'data', () => plain.write(message('', int32(SSL_REQUEST))))
    if (reply.length !== 1 || reply[0] !== 'S'.charCodeAt(0)) throw fault('TLS_NOT_OFFERED')
    const secure = connectTls({ socket: plain, host, ...(isIP(host) === 0 ? { servername: host } : {}), ...tlsOptions(this.#address) })
    this.#stream = secure
    await settled(secure, 'secureConnect', () => undefined)
  }

  async #converse(inbox: Inbox): Promise<void> {
    const { database = 'postgres' } = this.#address
    const said = ['user', this.account, 'database', database, 'application_name', this.application, 'client_encoding', 'UTF8']
    this.#stream.write(message('', int32(PROTOCOL_3), `${said.join('\0')}\0\0`))
    for (;;) {
      const next = inbox.take()
      if (next === null) await inbox.more()
      else if (next.kind === 'Z' && this.#admitted) return
      else if (next.kind === 'R' && !this.#admitted) await this.#authenticate(next.body)
      else if (next.kind === 'E') throw errorOf(next.body)
      else if (next.kind === 'K') this.#pid = next.body.length >= 4 ? next.body.readInt32BE() : null
      // Parameters and notices say nothing of the value.
      else if (next.kind !== 'S' && next.kind !== 'N') throw fault('NOT_POSTGRESQL')
    }
  }

  async #authenticate(body: Buffer): Promise<void> {
    const way = body.length >= 4 ? body.readInt32BE() : -1
    const rest = body.subarray(4)
    if (way === 0) {
      if (this.#scram !== null && !this.#confirmed) throw fault('SERVER_NOT_PROVEN')
      this.#admitted = true
    } else if (way === 3) {
      throw fault('CLEARTEXT_ASKED')
    } else if (way === 5 && rest.length === 4 && this.#scram === null) {
      this.#asked = true
      this.#stream.write(message('p', `${md5Answer(this.#secret, this.account, rest)}\0`))
    } else if (way === 10 && rest.toString().split('\0').includes(MECHANISM)) {
      this.#asked = true
      this.#confirmed = false
      this.#scram = new ScramLogin()
      this.#stream.write(message('p', `${MECHANISM}\0`, int32(this.#scram.first.length), this.#scram.first))
    } else if (way === 11 && this.#scram !== null) {
      const answer = await this.#scram.answer(rest.toString(), this.#secret, this.#known)
      if (answer === null) throw fault('NOT_SCRAM')
      this.#stream.write(message('p', answer))
    } else if (way === 12 && this.#scram !== null) {
      this.#confirmed = this.#scram.confirms(rest.toString())
    } else {
      throw fault('LOGIN_UNSUPPORTED')
    }
  }
}

/** A socket folder holds the server's socket under a name of its port, as for libpq. */
function placeOf({ host, port }: Address): { path: string } | { host: string; port: number } {
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }
}

/** Starts something and waits for its event; rejects with the stream's error, or when it closes. */
async function settled<T = void>(stream: Socket, event: string, start: () => unknown): Promise<T> {
  let off: () => void = () => undefined
  try {
    return await new Promise<T>((resolve, reject) => {
      const closed = () => reject(fault('CLOSED'))
      stream.once(event, resolve).once('error', reject).once('close', closed)
      off = () => void stream.off(event, resolve).off('error', reject).off('close', closed)
      start()
    })
  } finally {
    off()
    // An error that comes late has nobody to tell.
    stream.on('error', () => undefined)
  }
}

/** Of a DataRow. */
function firstColumn(body: Buffer): string | null {
  const length = body.length >= 6 && body.readInt16BE() > 0 ? body.readInt32BE(2) : -1
  return length < 0 ? null : body.subarray(6, 6 + length).toString()
}

/** An ErrorResponse: fields of one letter and a text. Only severity and SQLSTATE are kept; the text may quote anything. */
function errorOf(body: Buffer): Error {
  const fields = new Map(
    body
      .toString()
      .split('\0')
      .map((field) => [field.slice(0, 1), field.slice(1)]),
  )
  return Object.assign(new Error('The server refused the login.'), { severity: fields.get('S') ?? '', code: fields.get('C') ?? '' })
}
