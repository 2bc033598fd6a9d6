import { type Ctx, RekeyError, type Secret, sleep } from '../../kernel/index.ts'
import { newScramKey, type ScramKey, scramVerifierOf } from '../../seal/index.ts'
import { noAccount } from '../account.ts'
import type {
  Account,
  Ended,
  InstallOrder,
  Logins,
  Mark,
  Probe,
  RetireOrder,
  ServerIdentity,
  Session,
  SystemSpec,
  Target,
} from '../contract.ts'
import { APPLICATION_PREFIX } from './login.ts'
import { probeLogin } from './probe.ts'
import { Roots } from './roots.ts'
import {
  ACCOUNT_EXISTS,
  endSessions,
  endSessionsAndCompare,
  LIST_ACCOUNTS,
  LIST_GRANTS,
  LIST_SESSIONS,
  LOGINS,
  MARKED,
  setLogins,
  setPassword,
  takeMark,
} from './sql.ts'
import type { Wire } from './wire.ts'

/** A backend needs about 2 ms to die; one that does not is looked at again ever later. */
const FIRST_LOOK_MS = 3
const LATEST_LOOK_MS = 100

/** A mark as `takeMark` writes it. */
const MARK = /^\d{1,18}$/

/**
 * Server processes of ours on any target, by number. A number may be another's on another target; to leave out a stranger by mistake
 * it would have to have the number of a probe of ours that runs at that moment.
 */
type OwnProcesses = Set<number>

/** A PostgreSQL driven with root rights. See `Target` for what each method promises. */
export class PostgresTarget implements Target {
  readonly #roots: Roots
  readonly #probes: OwnProcesses = new Set()
  /** Of values installed here, for as long as the engine holds them: the login that follows need not derive the same key again. */
  readonly #keys = new WeakMap<Secret, ScramKey>()

  constructor(spec: SystemSpec) {
    this.#roots = new Roots(spec)
  }

  identify(ctx: Ctx): Promise<ServerIdentity> {
    return this.#roots.identify(ctx)
  }

  async install(ctx: Ctx, order: InstallOrder): Promise<{ readonly mark: Mark }> {
    supported(order.strategy)
    const key = await newScramKey(order.secret)
    this.#keys.set(order.secret, key)
    const verifier = scramVerifierOf(key)
    const rows = await this.#roots.run(
      ctx,
      (wire, signal, until) => wire.script<Marked>(signal, setPassword(order.account, verifier, until), MARKED),
      'install',
    )
    return { mark: markOf(rows) }
  }

  /**
   * Of an alternating pair the old account loses its password. In place nothing is left to remove.
   * Either way a login that began before the install may still end with the old value within authentication_timeout (a minute by
   * default), because the server reads the verifier at the start: its session counts as opened before the mark.
   */
  async retire(ctx: Ctx, order: RetireOrder): Promise<{ readonly mark: Mark }> {
    supported(order.strategy)
    const script = (until: string) => (order.strategy === 'in-place' ? takeMark(order.account) : setPassword(order.account, null, until))
    return { mark: markOf(await this.#roots.run(ctx, (wire, signal, until) => wire.script<Marked>(signal, script(until), MARKED))) }
  }

  probe(ctx: Ctx, account: string, secret: Secret): Promise<Probe> {
    return probeLogin(ctx, this.#roots, account, secret, this.#probes, this.#keys.get(secret))
  }

  /**
   * Ours are left out by their server process. Of sessions after a mark, which may count as proof of a consumer's move, also whatever
   * calls itself like a Rekey: another process of ours could be probing. Before a mark, or without one, a name hides nobody.
   */
  async sessions(ctx: Ctx, account: string, where: { readonly before?: Mark; readonly after?: Mark } = {}): Promise<readonly Session[]> {
    const params = [account, this.#own(), bound(where.before), bound(where.after)]
    const rows = await this.#roots.run(ctx, (wire, signal) => wire.query<SessionRow>(signal, LIST_SESSIONS, params))
    if (rows.some((row) => row.hidden)) throw hiddenSessions()
    return rows
      .filter((row) => where.after === undefined || !row.application_name.startsWith(APPLICATION_PREFIX))
      .map((row) => ({ id: String(row.pid), application: row.application_name || null, from: row.address ?? 'local' }))
  }

  async endSessions(ctx: Ctx, account: string, before?: Mark): Promise<number> {
    return (await this.#endSessions(ctx, () => endSessions(account, this.#own(), bound(before)))).ended
  }

  async endSessionsAndCompare(ctx: Ctx, account: string, before: Mark | undefined, held: Secret | null): Promise<Ended> {
    const key = held === null ? null : this.#keys.get(held)
    return this.#endSessions(ctx, (wire) => {
      if (key === undefined || !this.#roots.readsVerifiers(wire)) return endSessions(account, this.#own(), bound(before))
      return endSessionsAndCompare(account, this.#own(), bound(before), key && scramVerifierOf(key))
    })
  }

  async #endSessions(ctx: Ctx, scriptFor: (wire: Wire) => string): Promise<Ended> {
    return this.#roots.run(ctx, async (wire, signal) => {
      const until = ctx.clock.monotonicMs() + this.#roots.spec.timeoutMs * 0.9
      let last = await signalSessions(wire, signal, scriptFor(wire))
      const first = last.ended
      for (let wait = FIRST_LOOK_MS; last.ended > 0; wait = Math.min(wait * 2, LATEST_LOOK_MS)) {
        if (ctx.clock.monotonicMs() + wait > until) {
          throw new RekeyError('target_conflict', 'Sessions of the account do not end.', { detail: `${last.ended} of ${first} left` })
        }
        await sleep(wait, signal)
        last = await signalSessions(wire, signal, scriptFor(wire))
      }
      return { ended: first, holds: last.holds }
    })
  }

  async discover(ctx: Ctx): Promise<readonly Account[]> {
    return this.#roots.run(ctx, (wire, signal) => wire.query<Account & object>(signal, LIST_ACCOUNTS, []))
  }

  /** Rights in the database of the address; of other databases only that something is owned, granted or named by a policy there. */
  async listGrants(ctx: Ctx, account: string): Promise<readonly string[]> {
    return this.#roots.run(ctx, async (wire, signal) => {
      const rows = await wire.query<{ text: string }>(signal, LIST_GRANTS, [account])
      if (rows.length === 0 && (await wire.query(signal, ACCOUNT_EXISTS, [account])).length === 0) {
        throw noAccount()
      }
      return rows.map((row) => row.text).sort()
    })
  }

  /** A login that has begun is stopped too: the server asks whether the role may log in when the password is done. */
  async suspend(ctx: Ctx, account: string): Promise<void> {
    await this.#roots.run(ctx, (wire, signal, until) => wire.script(signal, setLogins(account, 'NOLOGIN', until), NOTHING))
  }

  async resume(ctx: Ctx, account: string): Promise<void> {
    await this.#roots.run(ctx, (wire, signal, until) => wire.script(signal, setLogins(account, 'LOGIN', until), NOTHING))
  }

  async destroy(ctx: Ctx, account: string): Promise<void> {
    await this.#roots.run(ctx, (wire, signal, until) => wire.script(signal, setLogins(account, 'NOLOGIN PASSWORD NULL', until), NOTHING))
  }

  async logins(ctx: Ctx, account: string): Promise<Logins> {
    const [row] = await this.#roots.run(ctx, (wire, signal) => wire.query<{ open: boolean }>(signal, LOGINS, [account]))
    return { exists: row !== undefined, open: row?.open ?? false }
  }

  forgetRoot(spec: SystemSpec): Promise<void> {
    return this.#roots.forget(spec)
  }

  close(): Promise<void> {
    return this.#roots.close()
  }

  #own(): number[] {
    return [...this.#roots.pids(), ...this.#probes]
  }
}

/** What the statements of `endSessions` and `endSessionsAndCompare` answer. */
interface EndingRow {
  readonly found?: number
  readonly hidden?: number
  readonly holds?: boolean
}
const ENDING = [{ found: 'number', hidden: 'number', signalled: 'number' }, { holds: 'boolean' }] as const

/** Of a script that answers no rows. */
const NOTHING = {}

interface Marked {
  readonly mark: string
}

async function signalSessions(wire: Wire, signal: AbortSignal, script: string): Promise<Ended> {
  const [sessions, compared] = await wire.scripts<EndingRow>(signal, script, ENDING)
  const { found, hidden } = sessions?.[0] ?? {}
  if (typeof found !== 'number' || hidden !== 0) throw hiddenSessions()
  // Compared, and no row: there is no such role, so it has not got the value.
  return { ended: found, holds: compared === undefined ? null : compared[0]?.holds === true }
}

interface SessionRow {
  readonly pid: number
  readonly application_name: string
  readonly address: string | null
  readonly hidden: boolean
}

function supported(strategy: InstallOrder['strategy']): void {
  if (strategy === 'dual') throw new RekeyError('target_unsupported', 'A PostgreSQL role has one password: dual is not possible.')
}

function markOf([row]: readonly Marked[]): Mark {
  if (row === undefined || !MARK.test(row.mark)) throw new RekeyError('target_conflict', 'PostgreSQL did not tell its time.')
  return row.mark
}

function bound(mark: Mark | undefined): string | null {
  if (mark !== undefined && !MARK.test(mark)) throw new RekeyError('bad_input', 'Not a mark of PostgreSQL.')
  return mark ?? null
}

/** Root sees that there are sessions and not when they began: calling none of them old would be a lie. */
function hiddenSessions(): RekeyError {
  return new RekeyError('target_not_authorised', 'Root may not see the sessions of the account.', {
    hint: 'GRANT pg_read_all_stats, pg_signal_backend TO root, or let root inherit the account.',
  })
}
