import { type Secret, sleep } from '../../kernel/index.ts'
import type { Address } from '../contract.ts'
import { GOODBYE_MS, gaveUp } from '../deadline.ts'
import { Intake, type Size } from '../intake.ts'
import { tlsOptions } from '../tls.ts'
import { library } from './library.ts'
import { notRedis, Scan } from './scan.ts'

/** A reply as Redis sends it (RESP2): text, number, nothing, or a list of these. */
export type Reply = unknown

type Client = Awaited<ReturnType<typeof makeClient>>

/** One connection. It never reconnects by itself; each command is bounded by a signal. */
export class Link {
  readonly #client: Client
  readonly #intake = new Intake(() => this.destroy())
  #dead = false

  private constructor(client: Client) {
    this.#client = client
    // Without a listener, a server that goes away while we are idle would end the process.
    client.on('error', () => {
      this.#dead = true
    })
    client.on('end', () => {
      this.#dead = true
    })
    this.#count()
  }

  /**
   * The library keeps its socket to itself; all that comes passes through its decoder, but not before we have seen it. What the decoder
   * throws means a reply that it cannot read, or that nobody asked for.
   */
  #count(): void {
    const { decoder } = this.#client._getQueue()
    const write = decoder.write.bind(decoder)
    const scan = new Scan((bytes) => this.#intake.keep(bytes))
    decoder.write = (chunk: Buffer) => {
      this.#intake.take(chunk.length)
      if (this.#intake.fault !== null) return
      try {
        scan.see(chunk)
        write(chunk)
      } catch {
        this.#intake.refuse(notRedis())
      }
    }
  }

  /** Connects without logging in; sends nothing yet. */
  static async open(address: Address, timeoutMs: number, signal: AbortSignal): Promise<Link> {
    if (signal.aborted) throw gaveUp('Redis')
    const link = new Link(await makeClient(address, timeoutMs))
    try {
      await bounded(signal, link.#client.connect())
      return link
    } catch (error) {
      link.destroy()
      throw error
    }
  }

  get dead(): boolean {
    return this.#dead || !this.#client.isOpen
  }

  /** Rejects with the library's `ErrorReply` if the server refuses the command. */
  command(signal: AbortSignal, ...args: readonly string[]): Promise<Reply> {
    return this.#send(signal, 'small', args)
  }

  /** As `command`, for a long answer. */
  list(signal: AbortSignal, ...args: readonly string[]): Promise<Reply> {
    return this.#send(signal, 'large', args)
  }

  #send(signal: AbortSignal, size: Size, args: readonly string[]): Promise<Reply> {
    return this.#intake.during(size, () => bounded(signal, this.#client.sendCommand([...args])))
  }

  /** Logs in. Each try is one command, so that several values can be tried on one connection. */
  authenticate(signal: AbortSignal, account: string, secret: Secret): Promise<Reply> {
    return secret.revealText((value) => this.command(signal, 'AUTH', account, value))
  }

  /**
   * Runs the commands as one (MULTI … EXEC): the server has either done all of them or not begun. Resolves with one reply each; what
   * one of them was refused with stands in its place.
   */
  async together(signal: AbortSignal, commands: readonly (readonly string[])[]): Promise<Reply[]> {
    const multi = this.#client.multi()
    for (const command of commands) multi.addCommand([...command])
    try {
      return await this.#intake.during('small', () => bounded(signal, multi.exec()))
    } catch (error) {
      const { replies } = (error ?? {}) as { replies?: unknown }
      if (Array.isArray(replies)) return replies
      throw error
    }
  }

  /** Says goodbye and waits for the answer: when it comes, the server has taken the session off its list. Never rejects. */
  async end(): Promise<void> {
    if (!this.dead) {
      const answered = new AbortController()
      const quit = this.#client.sendCommand(['QUIT']).catch(() => {})
      void quit.then(() => answered.abort())
      await sleep(GOODBYE_MS, answered.signal)
    }
    this.destroy()
  }

  destroy(): void {
    this.#dead = true
    if (this.#client.isOpen) this.#client.destroy()
  }
}

/** RESP2 and no client information: on such a connection nothing is sent before our first command (Redis 7.0 knows no SETINFO). */
async function makeClient(address: Address, timeoutMs: number) {
  const { host, port } = address
  const way = { host, port, reconnectStrategy: false as const, connectTimeout: timeoutMs, noDelay: true }
  const secure = tlsOptions(address)
  const socket = secure === null ? way : { ...way, ...secure, tls: true as const }
  const { createClient } = await library()
  return createClient({ socket, RESP: 2, disableClientInfo: true, maintNotifications: 'disabled' })
}

/** The library does not take back a command that is under way: whoever gives up leaves its reply to nobody. */
function bounded<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(gaveUp('Redis'))
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
