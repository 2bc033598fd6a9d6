import { type Ctx, RekeyError, type Secret } from '../../kernel/index.ts'
import { mysqlNativeHash, randomSecret } from '../../seal/index.ts'
import { noAccount } from '../account.ts'
import type { Account, InstallOrder, Logins, Mark, Probe, RetireOrder, ServerIdentity, Session, SystemSpec, Target } from '../contract.ts'
import { serverErrno } from './faults.ts'
import type { Link } from './link.ts'
import { type AccountName, formatAccount, parseAccount, quoteAccount } from './names.ts'
import { OwnProbes, probeLogin } from './probe.ts'
import { Roots } from './roots.ts'
import { belongs, formatMark, isAfter, killSessions, listSessions, otherHosts, parseMark, serverTimes } from './sessions.ts'
import { grantText, hasWay, identified, nativeWay, readWays, type Way, withoutWay, withWay } from './ways.ts'

const LIST_ACCOUNTS = `SELECT User AS user, Host AS host, COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('1', 'true') AS locked
  FROM mysql.global_priv WHERE NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') IN ('1', 'true') ORDER BY User, Host`
const VALIDATION = `SELECT PLUGIN_NAME AS plugin, @@GLOBAL.strict_password_validation AS strict
  FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE'`
const READ_ACCOUNT = 'SELECT CAST(Priv AS CHAR) AS priv FROM mysql.global_priv WHERE User = ? AND Host = ?'
const READ_LOCK = `SELECT COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('1', 'true') AS locked
  FROM mysql.global_priv WHERE User = ? AND Host = ?`
/** The anonymous user is in for every name that no closer account has. Locked accounts let nobody in, and nobody logs in as a role. */
const READ_SAME_LOGINS = `SELECT User AS user, Host AS host, CAST(Priv AS CHAR) AS priv FROM mysql.global_priv
  WHERE User IN (?, '') AND NOT (User = ? AND Host = ?) AND NOT COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('1', 'true')
  AND NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') IN ('1', 'true') ORDER BY User, Host`
/** SELECT denied on a table, or on the database. */
const MAY_NOT_READ: readonly (number | null)[] = [1142, 1044]

/** A MariaDB driven with root rights. See `Target` for what each method promises. */
export class MariadbTarget implements Target {
  readonly #roots: Roots
  readonly #probes = new OwnProbes()

  constructor(spec: SystemSpec) {
    this.#roots = new Roots(spec)
  }

  identify(ctx: Ctx): Promise<ServerIdentity> {
    return this.#roots.identify(ctx)
  }

  /**
   * Dual keeps every way in which the account logs in at present (not only `current`: should the declared value be wrong, its users
   * would lose theirs before they have the new one) and puts the new value beside them.
   */
  async install(ctx: Ctx, order: InstallOrder): Promise<{ readonly mark: Mark }> {
    const account = checked(order.account, order.strategy)
    const way = wayOf(order.secret)
    return this.#roots.run(ctx, async (link, signal, change) => {
      const ways = order.strategy === 'in-place' ? [way] : withWay(await presentWays(link, signal, account), way)
      await change(`ALTER USER ${quoteAccount(account)} ${identified(ways)}`)
      return this.#takeMark(link, signal)
    })
  }

  /**
   * Dual takes `old` alone, so that a retired or undone rotation leaves every other way to log in as it was; if `old` is not known,
   * every way but `keep` goes.
   */
  async retire(ctx: Ctx, order: RetireOrder): Promise<{ readonly mark: Mark }> {
    const account = checked(order.account, order.strategy)
    return this.#roots.run(ctx, async (link, signal, change) => {
      if (order.strategy === 'dual') {
        const ways = await waysLeft(link, signal, account, order)
        await change(`ALTER USER ${quoteAccount(account)} ${identified(ways)}`)
      }
      return this.#takeMark(link, signal)
    })
  }

  /** Never where wrong logins lock an account: root is asked first, once. */
  async probe(ctx: Ctx, account: string, secret: Secret): Promise<Probe> {
    const fault = this.#roots.checked ? null : await this.#roots.check(ctx)
    if (fault?.code === 'target_unsupported') return { outcome: 'inconclusive', code: fault.code }
    return probeLogin(ctx, this.#roots.spec, account, secret, this.#probes)
  }

  /** A session whose host fits several accounts of the same user name is listed, but never as one after a mark: it may prove nothing. */
  async sessions(ctx: Ctx, account: string, where: { readonly before?: Mark; readonly after?: Mark } = {}): Promise<readonly Session[]> {
    const name = parseAccount(account)
    const before = where.before === undefined ? null : parseMark(where.before)
    const after = where.after === undefined ? null : parseMark(where.after)
    return this.#roots.run(ctx, async (link, signal) => {
      const { start } = await this.#times(link, signal)
      const rows = await listSessions(link, signal, name.user, this.#own())
      const others = await otherHosts(link, signal, name)
      return rows
        .filter((row) => row.user === name.user)
        .filter((row) => (after ? ['ours'] : ['ours', 'doubtful']).includes(belongs(name, others, row.from)))
        .filter((row) => (before === null || !isAfter(before, start, row.id)) && (after === null || isAfter(after, start, row.id)))
        .map((row) => ({ id: String(row.id), application: null, from: row.from || null }))
    })
  }

  /** By hash: a probe cannot log in from the places of the other accounts. What other plugins store is not compared. */
  async sameLogins(ctx: Ctx, account: string, secret: Secret): Promise<readonly string[]> {
    const { user, host } = parseAccount(account)
    const way = wayOf(secret)
    const rows = await this.#roots.run(ctx, (link, signal) =>
      link.query<AccountName & { priv: string }>(signal, ['user', 'host', 'priv'], READ_SAME_LOGINS, [user, user, host]),
    )
    const same = rows.filter(({ priv }) => hasWay(readWays(priv), way))
    return same.map((each) => (each.user === '' ? `(anonymous)@${each.host}` : formatAccount(each))).sort()
  }

  async endSessions(ctx: Ctx, account: string, before?: Mark): Promise<number> {
    const name = parseAccount(account)
    const place = before === undefined ? null : parseMark(before)
    const withinMs = this.#roots.spec.timeoutMs * 0.9
    return this.#roots.run(ctx, async (link, signal) => {
      const { start } = await this.#times(link, signal)
      return killSessions(ctx, link, signal, { account: name, before: place, start, own: () => this.#own(), withinMs })
    })
  }

  /** Roles are left out: nobody logs in as one. */
  async discover(ctx: Ctx): Promise<readonly Account[]> {
    const rows = await this.#roots.run(ctx, (link, signal) =>
      link.list<AccountName & { locked: number }>(signal, ['user', 'host', 'locked'], LIST_ACCOUNTS),
    )
    return rows.map((row) => ({ name: formatAccount(row), canLogin: Number(row.locked) === 0 }))
  }

  /** A plugin that validates passwords refuses finished hashes unless told otherwise: better known before the first rotation. */
  async warnings(ctx: Ctx): Promise<readonly string[]> {
    const rows = await this.#roots.run(ctx, (link, signal) =>
      link.query<{ plugin: string; strict: number }>(signal, ['plugin', 'strict'], VALIDATION),
    )
    const plugins = rows.filter(({ strict }) => Number(strict) === 1).map(({ plugin }) => plugin)
    if (plugins.length === 0) return []
    return [
      `MariaDB validates passwords (${plugins.join(', ')}) with strict_password_validation, which refuses the hashes that Rekey sets. ` +
        'No rotation can be made on it. Set strict_password_validation = OFF: values of Rekey have 40 random characters.',
    ]
  }

  /** Rights given to the account itself; of a role only that it is given, not what it holds. */
  async listGrants(ctx: Ctx, account: string): Promise<readonly string[]> {
    const quoted = quoteAccount(parseAccount(account))
    const rows = await this.#roots.run(ctx, (link, signal) => link.texts(signal, `SHOW GRANTS FOR ${quoted}`))
    return rows.map((text) => grantText(text, quoted)).sort()
  }

  async suspend(ctx: Ctx, account: string): Promise<void> {
    await this.#alter(ctx, account, 'ACCOUNT LOCK')
  }

  async resume(ctx: Ctx, account: string): Promise<void> {
    await this.#alter(ctx, account, 'ACCOUNT UNLOCK')
  }

  /** An account without any value would accept the empty one, so it gets one that nobody knows: only its hash is kept anywhere. */
  async destroy(ctx: Ctx, account: string): Promise<void> {
    await this.#alter(ctx, account, `${identified([nativeWay(mysqlNativeHash(randomSecret(32)))])} ACCOUNT LOCK`)
  }

  async logins(ctx: Ctx, account: string): Promise<Logins> {
    const { user, host } = parseAccount(account)
    return this.#roots.run(ctx, async (link, signal) => {
      try {
        const [row] = await link.query<{ locked: number }>(signal, ['locked'], READ_LOCK, [user, host])
        return { exists: row !== undefined, open: row !== undefined && Number(row.locked) === 0 }
      } catch (error) {
        if (!MAY_NOT_READ.includes(serverErrno(error))) throw error
        return { exists: true, open: null }
      }
    })
  }

  async #alter(ctx: Ctx, account: string, clause: string): Promise<void> {
    const quoted = quoteAccount(parseAccount(account))
    await this.#roots.run(ctx, (_link, _signal, change) => change(`ALTER USER ${quoted} ${clause}`))
  }

  forgetRoot(spec: SystemSpec): Promise<void> {
    return this.#roots.forget(spec)
  }

  close(): Promise<void> {
    return this.#roots.close()
  }

  #own(): number[] {
    return [...this.#roots.ids(), ...this.#probes.ids()]
  }

  async #times(link: Link, signal: AbortSignal): Promise<{ start: number; at: number }> {
    const times = await serverTimes(link, signal)
    this.#probes.onServer(times.start)
    return times
  }

  async #takeMark(link: Link, signal: AbortSignal): Promise<{ mark: Mark }> {
    const times = await this.#times(link, signal)
    return { mark: formatMark({ ...times, id: await this.#roots.newestId(signal) }) }
  }
}

function checked(account: string, strategy: InstallOrder['strategy']): AccountName {
  if (strategy === 'alternating') throw new RekeyError('target_unsupported', 'MariaDB is rotated in-place or dual, not alternating.')
  return parseAccount(account)
}

/** Throws `bad_input` for a value that is not text: the server would take its hash, but nobody could log in with it. */
function wayOf(secret: Secret): Way {
  secret.revealText(() => undefined)
  return nativeWay(mysqlNativeHash(secret))
}

async function waysLeft(link: Link, signal: AbortSignal, account: AccountName, { old, keep }: RetireOrder): Promise<Way[]> {
  const kept = keep && wayOf(keep)
  if (old === null) {
    if (kept === null) throw new RekeyError('target_conflict', 'Neither the value to remove nor the one to keep is known.')
    return [kept]
  }
  const ways = withoutWay(await presentWays(link, signal, account), wayOf(old))
  // Somebody took it away meanwhile: the value that must stay accepted comes back.
  return kept === null || hasWay(ways, kept) ? ways : withWay(ways, kept)
}

/** What logs in at present. A root that may not read it changes nothing: it would drop the ways that it does not see. */
async function presentWays(link: Link, signal: AbortSignal, account: AccountName): Promise<Way[]> {
  try {
    return await readAccount(link, signal, account)
  } catch (error) {
    if (!MAY_NOT_READ.includes(serverErrno(error))) throw error
    throw new RekeyError('target_conflict', 'Root may not read how the account logs in, so no value can be put beside it.', {
      hint: 'GRANT SELECT ON mysql.* to the root account of the system, or rotate the credential in-place.',
    })
  }
}

async function readAccount(link: Link, signal: AbortSignal, account: AccountName): Promise<Way[]> {
  const [row] = await link.query<{ priv: string }>(signal, ['priv'], READ_ACCOUNT, [account.user, account.host])
  if (row === undefined) throw noAccount()
  return readWays(row.priv)
}
