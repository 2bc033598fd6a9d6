import { newId, type Secret } from '../../kernel/index.ts'
import { md5Answer, type ScramKey, ScramLogin } from '../../seal/index.ts'
import type { Address } from '../contract.ts'
import { Answer, errorOf, exchange, isAside, processOf } from './answer.ts'
import { Channel, fault, int32, message, notPostgres } from './channel.ts'
import { isVerified, NOT_PROVEN } from './guard.ts'

const PROTOCOL_3 = 196_608
const MECHANISM = 'SCRAM-SHA-256'

/** How every connection of this process names itself to people who look at the target. Never trusted: anybody can call himself so. */
export const APPLICATION_PREFIX = 'rekey:'

/** What a login may know or say besides. */
export interface LoginExtras {
  /** Of this value, from its verifier; saves the slow part of SCRAM. */
  readonly known?: ScramKey | undefined
  /** What it calls itself; by default a name of its own. */
  readonly application?: string
  /** Settings, as the server's command line takes them. */
  readonly options?: string
}

/**
 * A login, with the protocol's own messages: all that a probe needs, and the beginning of a root connection. The library was used before;
 * with its client for every login, and its SCRAM through Web Crypto, a rotation took 1.5 times the floor's processor time in Node, now 1.1
 * (bench/rotation.ts).
 *
 * The server may be anybody's, so the value itself is never sent: challenges are answered (SCRAM-SHA-256, MD5), and a server that
 * answers SCRAM must show at the end that it holds the verifier. Without options it is the login that a consumer makes.
 */
export class Login {
  readonly #address: Address
  /** As whom it logs in. */
  readonly account: string
  readonly #secret: Secret
  readonly #known: ScramKey | undefined
  readonly #options: string | undefined
  /** What this login calls itself on the server. */
  readonly application: string
  /** Where it is spoken. Once the login is done, whoever made it may speak there too. */
  readonly channel: Channel
  #asked = false
  #scram: ScramLogin | null = null
  /** The end of SCRAM was right. */
  #confirmed = false
  /** The server said that the login is good. */
  #admitted = false
  #pid: number | null = null

  constructor(address: Address, account: string, secret: Secret, extras: LoginExtras = {}) {
    this.#address = address
    this.account = account
    this.#secret = secret
    this.#known = extras.known
    this.#options = extras.options
    this.application = extras.application ?? `${APPLICATION_PREFIX}${newId().slice(-12)}`
    this.channel = new Channel(address)
  }

  /** Whether the server asked for a password. If it let us in without, being let in says nothing of the value. */
  get passwordAsked(): boolean {
    return this.#asked
  }

  /** Whether the server showed that it is the right one: by the end of SCRAM, or by its certificate. After MD5 it could be anybody. */
  get serverProven(): boolean {
    return this.#confirmed || isVerified(this.#address, this.channel.stream)
  }

  /** The server process that serves us; null before the login. */
  get pid(): number | null {
    return this.#pid
  }

  /** Resolves when the server is ready for a query. Rejects with its error (`severity`, SQLSTATE as `code`), or a fault's `code`. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.channel.bounded(signal, async () => {
      await this.channel.open()
      await this.#converse()
      this.channel.allowAnswers()
    })
  }

  /** What a constant query answers in its only column, a text of that name; null if the server refuses it or answers no row. */
  async ask(signal: AbortSignal, query: string, column: string): Promise<string | null> {
    const { channel } = this
    const answer = new Answer(false, [{ [column]: 'string' }], (bytes) => channel.keep(bytes))
    await channel.bounded(signal, () => exchange(channel, message('Q', `${query}\0`), answer))
    const [row] = answer.error === null ? (answer.results[0] ?? []) : []
    const value = row?.[column]
    return typeof value === 'string' ? value : null
  }

  /** Says goodbye and waits until the server has closed, so that it counts no connection of ours afterwards; then lets go anyway. */
  async end(): Promise<void> {
    if (this.#pid === null) this.channel.destroy()
    else await this.channel.end()
  }

  async #converse(): Promise<void> {
    const { database = 'postgres' } = this.#address
    const said = ['user', this.account, 'database', database, 'application_name', this.application, 'client_encoding', 'UTF8']
    if (this.#options !== undefined) said.push('options', this.#options)
    this.channel.write(message('', int32(PROTOCOL_3), `${said.join('\0')}\0\0`))
    for (;;) {
      const next = this.channel.take()
      if (next === null) await this.channel.more()
      else if (next.kind === 'Z' && this.#admitted) return
      else if (next.kind === 'R' && !this.#admitted) await this.#authenticate(next.body)
      else if (next.kind === 'E') throw errorOf(next.body)
      else if (next.kind === 'K') this.#pid = processOf(next.body)
      // What is said aside says nothing of the value.
      else if (!isAside(next)) throw notPostgres()
    }
  }

  async #authenticate(body: Buffer): Promise<void> {
    if (body.length < 4) throw notPostgres()
    const way = body.readInt32BE()
    const rest = body.subarray(4)
    if (way === 0) {
      if (this.#scram !== null && !this.#confirmed) throw fault(NOT_PROVEN)
      this.#admitted = true
    } else if (way === 3) {
      throw fault('CLEARTEXT_ASKED')
    } else if (way === 5 && rest.length === 4 && this.#scram === null) {
      this.#asked = true
      this.channel.write(message('p', `${md5Answer(this.#secret, this.account, rest)}\0`))
    } else if (way === 10 && rest.toString().split('\0').includes(MECHANISM)) {
      this.#asked = true
      this.#confirmed = false
      this.#scram = new ScramLogin()
      this.channel.write(message('p', `${MECHANISM}\0`, int32(this.#scram.first.length), this.#scram.first))
    } else if (way === 11 && this.#scram !== null) {
      const answer = await this.#scram.answer(rest.toString(), this.#secret, this.#known)
      if (answer === null) throw fault('NOT_SCRAM')
      this.channel.write(message('p', answer))
    } else if (way === 12 && this.#scram !== null) {
      this.#confirmed = this.#scram.confirms(rest.toString())
    } else {
      throw fault('LOGIN_UNSUPPORTED')
    }
  }
}
