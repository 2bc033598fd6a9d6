import { type Ctx, counted, RekeyError, systemClock } from '../../kernel/index.ts'
import { TargetClocks } from '../clock.ts'
import type { SystemSpec } from '../contract.ts'
import { Pool } from '../pool.ts'
import { differenceOf, otherServer, type ServerIdentity } from '../server.ts'
import { isWrongValue, serverErrno, targetError } from './faults.ts'
import { matchedAccount, serverFacts } from './identity.ts'
import { Link } from './link.ts'
import { parseAccount } from './names.ts'

/** Microseconds since 1970 by the server's clock, not by `timestamp`, which a session may set. */
const NOW = 'CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS UNSIGNED)'
const TIME = `SELECT CAST(${NOW} AS CHAR) AS now, @@GLOBAL.max_password_errors AS wrong`

/** Each try of a rotation makes up to three wrong logins, and none of them may be the one that locks the consumers out. */
const WRONG_LOGINS_MIN = 100

/** The statement if it is not later than `until`, else no SQL, which fails. Quoted for the mode in which every connection of ours is. */
function inTime(statement: string, until: bigint): string {
  return `EXECUTE IMMEDIATE IF(${NOW} <= ${until}, '${statement.replaceAll("'", "''")}', 'TOO LATE')`
}

/**
 * Of several faults the server answers the last one: a finished hash that strict_password_validation refuses (1290) becomes "the account
 * cannot be altered" (1396), as if there were none. Where one of the others is a reason of that kind, it is the one that counts.
 */
async function changeInTime(link: Link, signal: AbortSignal, statement: string): Promise<void> {
  try {
    await link.run(signal, statement)
  } catch (error) {
    if (serverErrno(error) !== CANNOT_USER || link.dead) throw error
    const faults = await link.query<{ Level: string; Code: number; Message: string }>(signal, ['Level', 'Code', 'Message'], 'SHOW WARNINGS')
    const first = faults.find(({ Level, Code }) => Level === 'Error' && REASONS.includes(Number(Code)))
    throw first === undefined ? error : Object.assign(new Error('refused'), { errno: Number(first.Code), sqlState: 'HY000' })
  }
}

function tooFewWrongLogins(most: number): RekeyError {
  return new RekeyError('target_unsupported', `MariaDB blocks an account after ${counted(most, 'wrong login')} (max_password_errors).`, {
    hint: `Proofs of death need wrong logins: SET GLOBAL max_password_errors = ${WRONG_LOGINS_MIN} or more, and configure it so.`,
  })
}

/** ER_CANNOT_USER. */
const CANNOT_USER = 1396
/** ER_OPTION_PREVENTS_STATEMENT, ER_NOT_VALID_PASSWORD, ER_PASSWD_LENGTH. */
const REASONS = [1290, 1819, 1372]

/** Root connections to one target. */
export class Roots {
  readonly #pool: Pool<Link>
  /** Logins that are made for nothing but their number. */
  readonly #marking = new Set<Link>()
  #versionChecked = false
  #tolerant = false
  readonly #identities = new WeakMap<Link, ServerIdentity>()
  readonly #clocks = new TargetClocks<Link>()

  constructor(spec: SystemSpec) {
    this.#pool = new Pool('MariaDB', spec, (signal) => this.#login(signal))
  }

  get spec(): SystemSpec {
    return this.#pool.spec
  }

  /** True once the server was seen to take as many wrong logins as the proofs need. */
  get checked(): boolean {
    return this.#tolerant
  }

  /** Makes a root connection if there is none; what that failed with, or null. */
  check(ctx: Ctx): Promise<RekeyError | null> {
    return this.run(ctx, async () => null).catch((error: unknown) => targetError(error))
  }

  /** Sessions of ours on the target at this moment. */
  ids(): number[] {
    return [...this.#pool.all(), ...this.#marking].filter((link) => !link.dead).map((link) => link.id)
  }

  /**
   * Runs `use` on one connection within `timeoutMs`, waiting and login included. Rejects with the errors of `targetError`.
   * `change` runs one statement that changes something, and lets it begin before the end of that time only: one that Rekey has given up on
   * must not happen later, when a network or a server that was stuck goes on.
   */
  async run<T>(ctx: Ctx, use: (link: Link, signal: AbortSignal, change: (statement: string) => Promise<void>) => Promise<T>): Promise<T> {
    const endMs = systemClock.monotonicMs() + this.spec.timeoutMs
    try {
      return await this.#pool.run(ctx, (link, signal) =>
        use(link, signal, (statement) => changeInTime(link, signal, inTime(statement, this.#clocks.at(link, endMs)))),
      )
    } catch (error) {
      throw targetError(error)
    }
  }

  /** Which server it is at the other end of a root connection. */
  identify(ctx: Ctx): Promise<ServerIdentity> {
    return this.run(ctx, async (link) => {
      const identity = this.#identities.get(link)
      if (identity === undefined) throw new RekeyError('internal', 'A root connection was not introduced.')
      return identity
    })
  }

  /**
   * The number of a session that begins now. It is a login of its own: the server's counters of connections leave out its internal
   * threads, which are numbered too, so that a mark taken from them could lie before a session that is older than the mark.
   */
  async newestId(signal: AbortSignal): Promise<number> {
    const link = await this.#login(signal)
    this.#marking.add(link)
    await link.end()
    this.#marking.delete(link)
    return link.id
  }

  /** Goes on with another root secret: what is idle is closed, what is busy is closed when it comes back. */
  forget(spec: SystemSpec): Promise<void> {
    return this.#pool.forget(spec)
  }

  /** Closes everything; calls that are under way fail. */
  close(): Promise<void> {
    return this.#pool.close()
  }

  /** Tries the root secrets in order; any other refusal than "wrong value" ends the search. */
  async #login(signal: AbortSignal): Promise<Link> {
    const { address, rootAccount, rootSecrets } = this.spec
    let refused: unknown = new RekeyError('target_not_authorised', 'No root secret is known for this MariaDB.')
    for (const secret of rootSecrets) {
      try {
        const link = await Link.open(address, parseAccount(rootAccount).user, secret, signal)
        await this.#prepare(link, signal)
        return link
      } catch (error) {
        if (!isWrongValue(error)) throw targetError(error)
        refused = targetError(error)
      }
    }
    throw refused
  }

  /** One quoting whatever the server's defaults are, and a server that knows `OR` between ways to log in (MariaDB 10.4). */
  async #prepare(link: Link, signal: AbortSignal): Promise<void> {
    try {
      // A change that waits for a lock gives up when Rekey does.
      const seconds = Math.ceil(this.spec.timeoutMs / 1000)
      await link.run(signal, `SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', sql_quote_show_create = 1, lock_wait_timeout = ${seconds}`)
      const [time] = await link.query<{ now: string; wrong: number | string }>(signal, ['now', 'wrong'], TIME)
      this.#clocks.keep(link, time?.now)
      if (Number(time?.wrong) < WRONG_LOGINS_MIN) throw tooFewWrongLogins(Number(time?.wrong))
      this.#tolerant = true
      await this.#introduce(link, signal)
      if (this.#versionChecked) return
      const [row] = await link.query<{ version: string }>(signal, ['version'], 'SELECT VERSION() AS version')
      const [, major = 0, minor = 0] = (/^(?:5\.5\.5-)?(\d+)\.(\d+).*MariaDB/i.exec(row?.version ?? '') ?? []).map(Number)
      if (major < 10 || (major === 10 && minor < 4)) throw new RekeyError('target_unsupported', 'The server is not MariaDB 10.4 or newer.')
      this.#versionChecked = true
    } catch (error) {
      link.destroy()
      throw error
    }
  }

  /** Before anything is changed there: which server is it, and as whom does it take root? */
  async #introduce(link: Link, signal: AbortSignal): Promise<void> {
    const { name, server } = this.spec
    const facts = await serverFacts(link, signal)
    const identity = { facts, run: null, account: await matchedAccount(link, signal) }
    const difference = differenceOf(server, identity, 0)
    if (difference !== null) throw otherServer(name, difference)
    this.#identities.set(link, identity)
  }
}
