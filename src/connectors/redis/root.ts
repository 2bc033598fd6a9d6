import { type Clock, type Ctx, RekeyError } from '../../kernel/index.ts'
import type { SystemSpec } from '../contract.ts'
import { withDeadline } from '../deadline.ts'
import { differenceOf, otherServer, type ServerIdentity } from '../server.ts'
import { infoValue } from './acl.ts'
import { replyCode, targetError } from './faults.ts'
import { identityOf } from './identity.ts'
import { isHere } from './include.ts'
import { Link } from './link.ts'

/** An idle root connection is closed after this: a target must not carry ours between rotations. */
const IDLE_MS = 10_000

/** A root connection and what it learned at login. */
export interface RootLink {
  readonly link: Link
  readonly id: number
  /** Names one run of one server: another after each restart. */
  readonly runId: string
  /** Path of the configuration file the server was started with, or empty. */
  readonly configFile: string
  /** Whether that path is one of this machine, as far as the address tells. */
  readonly here: boolean
  readonly identity: ServerIdentity
}

/**
 * The root connection to one target, opened at need. One is enough for any `concurrent`: Redis does one thing at a time and takes
 * commands on one connection in a row without waiting for replies.
 */
export class Root {
  #spec: SystemSpec
  #current: Promise<RootLink> | null = null
  /** Calls under way on `#current`. */
  #users = 0
  #idle: NodeJS.Timeout | null = null
  #closed = false
  /** Every root connection of ours that is open, by its number on the server. */
  readonly #ids = new Set<number>()
  /** Connections that we gave up on with a command under way: what they still carry must not happen after what comes next. */
  #lost: RootLink[] = []
  #clock: Clock | null = null
  /** When the spec was first used, monotonic: its server was seen before that. */
  #sinceMs: number | null = null

  constructor(spec: SystemSpec) {
    this.#spec = spec
  }

  get spec(): SystemSpec {
    return this.#spec
  }

  /** Sessions of ours on the target at this moment. */
  ids(): ReadonlySet<number> {
    return this.#ids
  }

  /** Runs `use` on the connection within `timeoutMs`, login included. Rejects with the errors of `targetError`. */
  run<T>(ctx: Ctx, use: (root: RootLink, signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#clock = ctx.clock
    this.#sinceMs ??= ctx.clock.monotonicMs()
    return withDeadline(ctx, this.#spec.timeoutMs, async (signal) => {
      if (this.#closed) throw new RekeyError('target_unreachable', 'The way to this Redis is closed.', { detail: 'closed' })
      if (this.#idle) clearTimeout(this.#idle)
      this.#users++
      let root: RootLink | null = null
      try {
        root = await this.#take(signal)
        return await use(root, signal)
      } catch (error) {
        // Replies come in order: whatever did not answer in time stands before all others.
        if (signal.aborted && !ctx.signal.aborted && root) this.#discard(root)
        throw targetError(error)
      } finally {
        this.#users--
        this.#rest()
      }
    })
  }

  /** A number greater than that of every session which began before this call: a connection of our own is made for it. */
  async newestId(signal: AbortSignal): Promise<number> {
    const { link, id } = await this.#login(signal)
    await link.end()
    this.#ids.delete(id)
    return id
  }

  /** A root login of its own, which the known server alone passes. */
  async confirm(signal: AbortSignal): Promise<void> {
    await this.newestId(signal)
  }

  /** What shows that another server says this of itself than the one on record; null if nothing does. */
  differenceOf(found: Pick<ServerIdentity, 'facts' | 'run'>): string | null {
    const nowMs = this.#clock?.monotonicMs() ?? 0
    return differenceOf(this.#spec.server, found, (nowMs - (this.#sinceMs ?? nowMs)) / 1000)
  }

  /** Goes on with another root secret. */
  async forget(spec: SystemSpec): Promise<void> {
    this.#spec = spec
    this.#sinceMs = null
    await this.#closeCurrent()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#closeCurrent()
  }

  async #take(signal: AbortSignal): Promise<RootLink> {
    for (;;) {
      const found = this.#current
      if (found === null) return this.#begin(signal)
      try {
        const root = await found
        if (!root.link.dead) return root
        this.#discard(root)
      } catch (error) {
        // Another call's login failed for its own deadline; ours begins anew.
        if (!isOver(error) || signal.aborted) throw error
      }
      if (this.#current === found) this.#current = null
    }
  }

  async #begin(signal: AbortSignal): Promise<RootLink> {
    const login = this.#login(signal)
    this.#current = login
    try {
      return await login
    } catch (error) {
      if (this.#current === login) this.#current = null
      throw error
    }
  }

  /** Tries the root secrets in order on one connection; any other refusal than WRONGPASS ends the search. */
  async #login(signal: AbortSignal): Promise<RootLink> {
    const { address, rootAccount, rootSecrets, timeoutMs } = this.#spec
    const link = await Link.open(address, timeoutMs, signal)
    let refused: unknown = new RekeyError('target_not_authorised', 'No root secret is known for this Redis.')
    try {
      for (const secret of rootSecrets) {
        const error = await link.authenticate(signal, rootAccount, secret).then(
          () => null,
          (thrown: unknown) => thrown,
        )
        if (error === null) return await this.#introduce(link, signal)
        if (replyCode(error) !== 'WRONGPASS') throw error
        refused = error
      }
      throw refused
    } catch (error) {
      link.destroy()
      throw error
    }
  }

  async #introduce(link: Link, signal: AbortSignal): Promise<RootLink> {
    const [id, info, dir] = await Promise.all([
      link.command(signal, 'CLIENT', 'ID'),
      link.command(signal, 'INFO', 'server'),
      // Root may be without CONFIG.
      link.command(signal, 'CONFIG', 'GET', 'dir').catch((error: unknown) => {
        if (replyCode(error) === null) throw error
      }),
    ])
    const text = String(info)
    const identity = identityOf(text, dir, this.#spec.rootAccount)
    const [runId, configFile] = [infoValue(text, 'run_id'), infoValue(text, 'config_file')]
    const root = { link, id: Number(id), runId, configFile, here: isHere(this.#spec.address.host), identity }
    if (!Number.isSafeInteger(root.id) || !/^[0-9a-f]{40}$/.test(root.runId)) {
      throw new RekeyError('target_unsupported', 'The server is not Redis 7 or compatible.')
    }
    const difference = this.differenceOf(identity)
    if (difference !== null) throw otherServer(this.#spec.name, difference)
    await this.#endLost(root, signal)
    this.#ids.add(root.id)
    return root
  }

  #rest(): void {
    if (this.#users > 0 || this.#current === null) return
    if (this.#idle) clearTimeout(this.#idle)
    this.#idle = setTimeout(() => void this.#closeCurrent(), IDLE_MS).unref()
  }

  #discard(root: RootLink): void {
    root.link.destroy()
    this.#ids.delete(root.id)
    this.#lost.push(root)
  }

  /** Ends them at the server, by their numbers: a network that held a command back then delivers it to nobody. */
  async #endLost({ link, runId }: RootLink, signal: AbortSignal): Promise<void> {
    const lost = this.#lost
    const here = lost.filter((each) => each.runId === runId)
    await Promise.all(here.map(({ id }) => link.command(signal, 'CLIENT', 'KILL', 'ID', String(id))))
    // One of another run of the server ended with it.
    this.#lost = this.#lost.filter((each) => !lost.includes(each))
  }

  async #closeCurrent(): Promise<void> {
    if (this.#idle) clearTimeout(this.#idle)
    const root = await this.#current?.catch(() => null)
    this.#current = null
    if (!root) return
    await root.link.end()
    this.#ids.delete(root.id)
  }
}

function isOver(error: unknown): boolean {
  return targetError(error).detail === 'deadline'
}
