import { type Ctx, isCode, RekeyError, type Secret, sleep } from '../../kernel/index.ts'
import { sha256Hex } from '../../seal/index.ts'
import { noAccount } from '../account.ts'
import type { Account, InstallOrder, Logins, Mark, Probe, RetireOrder, ServerIdentity, Session, SystemSpec, Target } from '../contract.ts'
import { type ClientRow, checkName, readClients, readUser, type User } from './acl.ts'
import { faultName, replyCode } from './faults.ts'
import { refuseIncludedAccounts } from './include.ts'
import { probeLogin } from './probe.ts'
import { Root, type RootLink } from './root.ts'

const FIRST_LOOK_MS = 5
const LATEST_LOOK_MS = 100
/** Accounts that are asked for at once, so that a server which names millions does not fill the memory with questions. */
const AT_ONCE = 500

/** A place in the order of one server's sessions: which run of which server, and the number of a session that began at that moment. */
interface Place {
  readonly runId: string
  readonly id: number
}

/** A Redis driven with root rights. See `Target` for what each method promises. */
export class RedisTarget implements Target {
  readonly #root: Root

  constructor(spec: SystemSpec) {
    this.#root = new Root(spec)
  }

  identify(ctx: Ctx): Promise<ServerIdentity> {
    return this.#root.run(ctx, async ({ identity }) => identity)
  }

  /**
   * Adds the value and writes the accounts to disk as one transaction: a lost reply or a crash of ours never leaves a value that a
   * restart forgets. If they cannot be written, the value is taken away again and the target is as before.
   */
  async install(ctx: Ctx, order: InstallOrder): Promise<{ readonly mark: Mark }> {
    const { account } = checked(order)
    const hash = hashOf(order.secret)
    return this.#root.run(ctx, async (root, signal) => {
      const user = await usable(root, signal, account)
      const save = await howToSave(root, signal, account)
      const failed = await change(root, signal, account, [`#${hash}`], save)
      if (failed !== null) {
        if (!user.hashes.includes(hash)) await root.link.command(signal, 'ACL', 'SETUSER', account, `!${hash}`)
        throw notSaved(failed)
      }
      return this.#takeMark(root, signal)
    })
  }

  /**
   * Takes the old value away, or every value but `keep` if it is not known. Refuses if that would leave none. If the change cannot be
   * written to disk it stays in memory (the old is dead now) and the call fails, because a restart would revive it.
   */
  async retire(ctx: Ctx, order: RetireOrder): Promise<{ readonly mark: Mark }> {
    const { account } = checked(order)
    const old = order.old ? hashOf(order.old) : null
    const keep = order.keep ? hashOf(order.keep) : null
    return this.#root.run(ctx, async (root, signal) => {
      const user = await existing(root, signal, account)
      const save = await howToSave(root, signal, account)
      const doomed = user.hashes.filter((hash) => hash !== keep && (old === null || hash === old))
      if (keep !== null ? !user.hashes.includes(keep) : doomed.length === user.hashes.length) {
        throw new RekeyError('target_conflict', 'The account would be left without a value that Rekey holds.')
      }
      const failed = await change(
        root,
        signal,
        account,
        doomed.map((hash) => `!${hash}`),
        save,
      )
      if (failed !== null) throw notSaved(failed)
      return this.#takeMark(root, signal)
    })
  }

  probe(ctx: Ctx, account: string, secret: Secret): Promise<Probe> {
    return probeLogin(ctx, this.#root, account, secret)
  }

  /**
   * After a restart (or on another server behind the same address) the numbers of a mark mean nothing: then every session counts as
   * before it and none as after, so that too many are ended rather than too few.
   */
  async sessions(ctx: Ctx, account: string, where: { readonly before?: Mark; readonly after?: Mark } = {}): Promise<readonly Session[]> {
    checkName(account)
    const before = where.before === undefined ? null : parseMark(where.before)
    const after = where.after === undefined ? null : parseMark(where.after)
    return this.#root.run(ctx, async (root, signal) => {
      const rows = await this.#list(root, signal, account)
      return rows
        .filter((row) => (before === null || !isAfter(before, root, row.id)) && (after === null || isAfter(after, root, row.id)))
        .map((row) => ({ id: String(row.id), application: row.name || null, from: row.address || null }))
    })
  }

  async endSessions(ctx: Ctx, account: string, before?: Mark): Promise<number> {
    checkName(account)
    const place = before === undefined ? null : parseMark(before)
    return this.#root.run(ctx, async (root, signal) => {
      const until = ctx.clock.monotonicMs() + this.#root.spec.timeoutMs * 0.9
      const ended = new Set<number>()
      for (let wait = FIRST_LOOK_MS; ; wait = Math.min(wait * 2, LATEST_LOOK_MS)) {
        const rows = await this.#list(root, signal, account)
        const due = rows.filter((row) => place === null || !isAfter(place, root, row.id))
        if (due.length === 0) return ended.size
        if (ctx.clock.monotonicMs() > until) throw new RekeyError('target_conflict', 'Sessions of the account do not end.')
        for (const row of due) {
          ended.add(row.id)
          // By number, one by one: `CLIENT KILL USER` would also end those opened after the mark. Answers 0 if it ended by itself.
          await root.link.command(signal, 'CLIENT', 'KILL', 'ID', String(row.id))
        }
        await sleep(wait, signal)
      }
    })
  }

  async discover(ctx: Ctx): Promise<readonly Account[]> {
    return this.#root.run(ctx, async (root, signal) => {
      const names = await root.link.list(signal, 'ACL', 'USERS')
      const accounts: Account[] = []
      for (let at = 0; Array.isArray(names) && at < names.length; at += AT_ONCE) {
        const some = names.slice(at, at + AT_ONCE).map(String)
        const users = await Promise.all(some.map((name) => root.link.list(signal, 'ACL', 'GETUSER', name)))
        accounts.push(...some.map((name, each) => ({ name, canLogin: mayLogIn(readUser(users[each])) })))
      }
      return accounts
    })
  }

  /** A Redis that keeps its accounts in no file refuses every rotation: better known before the first one. */
  async warnings(ctx: Ctx): Promise<readonly string[]> {
    return this.#root.run(ctx, async (root, signal) => {
      try {
        await howToSave(root, signal, '')
        return []
      } catch (error) {
        if (!isCode(error, 'target_conflict') && !isCode(error, 'target_unsupported')) throw error
        return [`${error.message} No rotation can be made on it. ${error.hint ?? ''}`.trim()]
      }
    })
  }

  /** Commands, keys, channels and selectors, as Redis names them; none of them carries the account's name. */
  async listGrants(ctx: Ctx, account: string): Promise<readonly string[]> {
    return this.#root.run(ctx, async (root, signal) => [...(await existing(root, signal, account)).rights].sort())
  }

  async suspend(ctx: Ctx, account: string): Promise<void> {
    await this.#setUser(ctx, account, ['off'])
  }

  async resume(ctx: Ctx, account: string): Promise<void> {
    await this.#setUser(ctx, account, ['on'])
  }

  async destroy(ctx: Ctx, account: string): Promise<void> {
    await this.#setUser(ctx, account, ['off', 'resetpass'])
  }

  async logins(ctx: Ctx, account: string): Promise<Logins> {
    checkName(account)
    return this.#root.run(ctx, async (root, signal) => {
      const user = readUser(await root.link.command(signal, 'ACL', 'GETUSER', account))
      return { exists: user !== null, open: user?.flags.includes('on') ?? false }
    })
  }

  /** If it cannot be written to disk it holds in memory all the same, and the call fails: a restart would forget it. */
  async #setUser(ctx: Ctx, account: string, rules: readonly string[]): Promise<void> {
    await this.#root.run(ctx, async (root, signal) => {
      await existing(root, signal, account)
      const failed = await change(root, signal, account, rules, await howToSave(root, signal, account))
      if (failed !== null) throw notSaved(failed)
    })
  }

  forgetRoot(spec: SystemSpec): Promise<void> {
    return this.#root.forget(spec)
  }

  close(): Promise<void> {
    return this.#root.close()
  }

  async #list(root: RootLink, signal: AbortSignal, account: string): Promise<ClientRow[]> {
    const rows = readClients(String(await root.link.list(signal, 'CLIENT', 'LIST')))
    return rows.filter((row) => row.user === account && !this.#root.ids().has(row.id))
  }

  async #takeMark(root: RootLink, signal: AbortSignal): Promise<{ mark: Mark }> {
    return { mark: `${root.runId}:${await this.#root.newestId(signal)}` }
  }
}

function mayLogIn(user: User | null): boolean {
  return user?.flags.includes('on') === true && (user.flags.includes('nopass') || user.hashes.length > 0)
}

function checked<T extends InstallOrder | RetireOrder>(order: T): T {
  if (order.strategy !== 'dual') throw new RekeyError('target_unsupported', 'Redis is rotated with the strategy dual only.')
  checkName(order.account)
  return order
}

/** Throws `bad_input` for a value that is not text: Redis would take its hash, but our probe could not log in with it. */
function hashOf(secret: Secret): string {
  secret.revealText(() => undefined)
  return sha256Hex(secret)
}

function parseMark(mark: Mark): Place {
  const parts = /^([0-9a-f]{40}):(\d{1,15})$/.exec(mark)
  if (!parts) throw new RekeyError('bad_input', 'Not a mark of Redis.')
  return { runId: parts[1] ?? '', id: Number(parts[2]) }
}

/** A session between the change and the mark counts as before: it is ended though it may be new, never the other way round. */
function isAfter(place: Place, root: RootLink, id: number): boolean {
  return place.runId === root.runId && id > place.id
}

async function existing({ link }: RootLink, signal: AbortSignal, account: string): Promise<User> {
  checkName(account)
  // SETUSER would create it.
  const user = readUser(await link.command(signal, 'ACL', 'GETUSER', account))
  if (user === null) throw noAccount()
  return user
}

/** The account, if it may log in and is asked for a value. Throws `target_conflict` otherwise. */
async function usable(root: RootLink, signal: AbortSignal, account: string): Promise<User> {
  const user = await existing(root, signal, account)
  if (!user.flags.includes('on')) {
    throw new RekeyError('target_conflict', 'The Redis account is off.', { hint: 'Switch it on with ACL SETUSER, or remove it.' })
  }
  // A value of its own would end that state, and with it every consumer that logs in with another.
  if (user.flags.includes('nopass')) {
    throw new RekeyError('target_conflict', 'The Redis account accepts any value (nopass).', { hint: 'Give it a password first.' })
  }
  return user
}

/**
 * The command that makes accounts last over a restart. Throws `target_conflict`, before anything is changed, if there is none, and
 * `target_unsupported` if the server would not start again after it.
 */
async function howToSave({ link, configFile, here }: RootLink, signal: AbortSignal, account: string): Promise<readonly string[]> {
  const reply = await link.command(signal, 'CONFIG', 'GET', 'aclfile')
  if (Array.isArray(reply) && typeof reply[1] === 'string' && reply[1] !== '') return ['ACL', 'SAVE']
  if (configFile === '') {
    throw new RekeyError('target_conflict', 'This Redis forgets its accounts at a restart.', {
      hint: 'Start it with an aclfile or a configuration file.',
    })
  }
  // CONFIG REWRITE writes names as they are, and reads quotes as syntax: the server would not start again.
  if (/["'\\]/.test(account)) {
    throw new RekeyError('target_unsupported', 'A name with quotes cannot be kept in the configuration file of Redis.', {
      hint: 'Use an aclfile.',
    })
  }
  if (here) await refuseIncludedAccounts(configFile)
  return ['CONFIG', 'REWRITE']
}

/** Resolves with null, or with the name of the fault if the change is in memory but could not be written to disk. */
async function change(
  { link }: RootLink,
  signal: AbortSignal,
  account: string,
  rules: readonly string[],
  save: readonly string[],
): Promise<string | null> {
  const set = rules.length === 0 ? [] : [['ACL', 'SETUSER', account, ...rules]]
  const replies = await link.together(signal, [...set, save])
  const errors = replies.map((reply) => (reply instanceof Error ? reply : null))
  const [refused] = set.length > 0 ? errors : []
  if (refused) throw refused
  const unsaved = errors.at(-1) ?? null
  if (unsaved && replyCode(unsaved) === 'NOPERM') return 'NOPERM'
  return unsaved === null ? null : faultName(unsaved)
}

function notSaved(detail: string): RekeyError {
  return new RekeyError('target_conflict', 'Redis could not write its accounts to disk.', {
    hint: 'A restart would forget the change: look at the disk and the rights of its aclfile or configuration file.',
    detail,
  })
}
