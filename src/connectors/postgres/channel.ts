import { isIP, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Address } from '../contract.ts'
import { GOODBYE_MS, gaveUp } from '../deadline.ts'
import { byTurns, Intake, type Size } from '../intake.ts'
import { tlsOptions } from '../tls.ts'
import { NOT_POSTGRESQL } from './faults.ts'

const SSL_REQUEST = 80_877_103
/** Letter and length. */
const HEAD = 5
/** No message of a login is near this; a server that announces a longer one is not believed. */
const LONGEST_OF_LOGIN = 64 * 1024
/** Above what `Intake` lets come for any call. */
const LONGEST_OF_ANSWER = 32 * 1024 * 1024

/** A message of the server. */
export interface Message {
  /** One letter; what it means is in the manual, chapter "Message Formats". */
  readonly kind: string
  readonly body: Buffer
}

/** A fault of the way or of the server's manners. `code` is what evidence may call it. */
export function fault(code: string): Error {
  return Object.assign(new Error(`The connection to PostgreSQL failed: ${code}.`), { code })
}

/** The fault of a server that says what no PostgreSQL says. */
export function notPostgres(): Error {
  return fault(NOT_POSTGRESQL)
}

/** A message of ours. Without a kind it is one of those that begin a connection. */
export function message(kind: string, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  const head = Buffer.alloc(kind.length + 4)
  head.write(kind, 'latin1')
  head.writeInt32BE(body.length + 4, kind.length)
  return Buffer.concat([head, body])
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

export function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

/** What is sent to a PostgreSQL and what comes from it, cut into messages. What they say is for others to read. */
export class Channel {
  readonly #address: Address
  readonly #intake = new Intake((error) => {
    this.#fail(error)
    this.destroy()
  })
  #stream: Socket = new Socket()
  #chunks: Buffer[] = []
  #size = 0
  /** So many bytes must have come before it is worth looking for the next message. */
  #need = HEAD
  #longest = LONGEST_OF_LOGIN
  #fault: unknown = null
  #wake: () => void = () => undefined

  constructor(address: Address) {
    this.#address = address
  }

  /** The socket, or what goes through it under TLS. */
  get stream(): Socket {
    return this.#stream
  }

  /** True once nothing more comes. */
  get closed(): boolean {
    return this.#fault !== null || this.#stream.destroyed
  }

  /** Connects, with TLS if the address says so. Rejects with Node's errors, or a fault. */
  async open(): Promise<void> {
    const { host, tls } = this.#address
    const plain = this.#stream
    await settled(plain, 'connect', () => plain.setNoDelay(true).connect(placeOf(this.#address)))
    if (tls !== 'off') {
      // Exactly one byte: what somebody put behind it in the clear must not pass for what came through TLS.
      const reply = await settled<Buffer>(plain, 'data', () => plain.write(message('', int32(SSL_REQUEST))))
      if (reply.length !== 1 || reply[0] !== 'S'.charCodeAt(0)) throw fault('TLS_NOT_OFFERED')
      const secure = connectTls({ socket: plain, host, ...(isIP(host) === 0 ? { servername: host } : {}), ...tlsOptions(this.#address) })
      this.#stream = secure
      await settled(secure, 'secureConnect', () => undefined)
    }
    this.#listen()
  }

  #listen(): void {
    const stream = this.#stream
    stream.on('data', (chunk: Buffer) => {
      this.#intake.take(chunk.length)
      this.#chunks.push(chunk)
      this.#size += chunk.length
      byTurns(stream, chunk)
      this.#wake()
    })
    stream.on('error', (error) => this.#fail(error))
    stream.on('close', () => this.#fail(fault('CLOSED')))
  }

  #fail(error: unknown): void {
    this.#fault ??= error
    this.#wake()
  }

  /** The login is over: an answer to a query may be longer. */
  allowAnswers(): void {
    this.#longest = LONGEST_OF_ANSWER
  }

  /** As `Intake.during`. */
  during<T>(size: Size, work: () => Promise<T>): Promise<T> {
    return this.#intake.during(size, work)
  }

  /** What came takes so much memory, bytes by estimate. Throws if that is too much: then the stream is destroyed. */
  keep(bytes: number): void {
    if (!this.#intake.keep(bytes)) throw this.#intake.fault
  }

  write(bytes: Buffer): void {
    this.#stream.write(bytes)
  }

  /** The next whole message that is there, or null. Throws for one that cannot be. */
  take(): Message | null {
    if (this.#size < this.#need) return null
    const [first] = this.#chunks
    const data = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks)
    const length = data.readInt32BE(1)
    if (length < 4 || length > this.#longest) throw notPostgres()
    const end = 1 + length
    const whole = data.length >= end
    const rest = whole ? data.subarray(end) : data
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#size = rest.length
    this.#need = whole ? HEAD : end
    return whole ? { kind: String.fromCharCode(data[0] ?? 0), body: data.subarray(HEAD, end) } : null
  }

  /** Resolves when more has arrived; rejects when nothing more will. */
  async more(): Promise<void> {
    const before = this.#size
    while (this.#size === before) {
      if (this.#fault !== null) throw this.#fault
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Calls back whenever more arrives or nothing more will, until somebody waits for `more`. */
  rest(arrived: () => void): void {
    this.#wake = arrived
  }

  /** Runs `work` until the signal aborts. Whatever goes wrong, the stream is destroyed: nothing late is taken for another's answer. */
  async bounded<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const abort = () => this.destroy()
    if (!signal.aborted) signal.addEventListener('abort', abort, { once: true })
    try {
      if (signal.aborted) throw gaveUp('PostgreSQL')
      return await work()
    } catch (error) {
      this.destroy()
      throw signal.aborted ? gaveUp('PostgreSQL') : error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /** Says goodbye and waits until the server has closed, so that it counts no connection of ours afterwards; then lets go anyway. */
  async end(): Promise<void> {
    const stream = this.#stream
    if (!this.closed && !stream.connecting && !stream.writableEnded) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, GOODBYE_MS)
        stream.once('close', () => {
          clearTimeout(timer)
          resolve()
        })
        stream.end(message('X'))
      })
    }
    this.destroy()
  }

  /** Closes at once, without a word. */
  destroy(): void {
    this.#stream.destroy()
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
