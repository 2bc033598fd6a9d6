import { type Ctx, isCode, type Secret } from '../kernel/index.ts'
import { NO_ACCOUNT } from './account.ts'
import { type KnownServer, OTHER_SERVER, type ServerIdentity, UNKNOWN_SERVER } from './server.ts'

export { differenceOf, type KnownServer, OTHER_SERVER, otherServer, type ServerIdentity } from './server.ts'

/**
 * How a credential moves from one value to the next. `in-place`: the old dies at install. `alternating`: two accounts. `dual`: two
 * values on one account.
 */
export type Strategy = 'in-place' | 'alternating' | 'dual'

/** What a connector can do, as data. The engine decides by this, never by the connector's name. */
export interface Capabilities {
  readonly connector: string
  readonly strategies: readonly Strategy[]
  /** False: nobody can revoke centrally; rotations end `irrevocable`. */
  readonly canRevoke: boolean
  /** What is sent instead of cleartext, named as the system names it. */
  readonly acceptsVerifier: string | null
  readonly canListGrants: boolean
  readonly canEndSessions: boolean
  /** Strategies under which a session seen on the target proves use of the new value (not one of the old). */
  readonly sessionTellsVersion: readonly Strategy[]
  /** Whether one consumer's sessions can be told from another's (by application name). */
  readonly sessionNamesConsumer: boolean
  /** How long after `retire` the old value may still be accepted, milliseconds. */
  readonly revocationLatencyMs: number
  /** How long a login that began before the change may still end well with the old value, milliseconds; 0 where logins are instant. */
  readonly loginWindowMs: number
  readonly defaultPort: number
  /** The strategy with which the system's own root credential is rotated. */
  readonly rootStrategy: Strategy
  /** Null: the logins of one account can be neither stopped for a while nor ended; what depends on it goes to a human. */
  readonly suspension: Suspension | null
}

/** How the logins of one account are stopped, as data. A system that has it has `suspend`, `resume`, `destroy` and `logins` of `Target`. */
export interface Suspension {
  /** What is done on the system, in its own words, for people: at a suspension, and at the end. */
  readonly suspends: string
  readonly destroys: string
  /** With which codes a probe of the right value is answered while the account is suspended: the answer is about this account. */
  readonly answers: readonly string[]
}

/** What root sees of the logins of an account. */
export interface Logins {
  readonly exists: boolean
  /** Whether the account may log in at all, with whatever value; null: root may not see it. */
  readonly open: boolean | null
}

/**
 * The answer of a probe. `accepted` and `refused` are facts about this value; `unreachable` (no answer) and `inconclusive`
 * (an answer that says nothing of the value, for example too many connections or a locked account) prove nothing.
 */
export type ProbeOutcome = 'accepted' | 'refused' | 'unreachable' | 'inconclusive'
export interface Probe {
  readonly outcome: ProbeOutcome
  /** The system's own code (SQLSTATE, error name), never its message text. */
  readonly code: string
}

/** A place in the target's own order of sessions. What compares with it is the connector's own matter (time, connection id). */
export type Mark = string

export interface Session {
  readonly id: string
  /** The name the consumer gave itself, where the system carries one. */
  readonly application: string | null
  /** Host or socket it came from, for people. */
  readonly from: string | null
}

export interface Account {
  readonly name: string
  readonly canLogin: boolean
}

/** Where the system is and with which root credential it is driven. */
export interface SystemSpec {
  readonly name: string
  /** The only server that may be driven; left out or null: whichever answers. */
  readonly server?: KnownServer | null
  readonly address: Address
  readonly rootAccount: string
  /** Tried in order; the second matters only while the root credential itself is being rotated. */
  readonly rootSecrets: readonly Secret[]
  /** Bound of one call, milliseconds. */
  readonly timeoutMs: number
  /** Most root connections at once. */
  readonly concurrent: number
}

export interface Address {
  readonly host: string
  readonly port: number
  readonly database?: string
  /** As libpq means the words; `tls.ts` says it in full. */
  readonly tls: 'off' | 'require' | 'verify-full'
  /** PEM text of the certificate authority, already read. */
  readonly ca?: string
}

/** One account's move, as the target needs to know it. */
export interface InstallOrder {
  readonly account: string
  readonly strategy: Strategy
  readonly secret: Secret
  /** The value in use now, if Rekey holds it and it is on the same account. */
  readonly current: Secret | null
}

export interface RetireOrder {
  readonly strategy: Strategy
  /** The account that carries the old value, and the value itself if known. */
  readonly account: string
  readonly old: Secret | null
  /** The value that must stay accepted, if it is on the same account; null for alternating. */
  readonly keep: Secret | null
}

/** Sessions that were ended, and what the account had then. */
export interface Ended {
  readonly ended: number
  /** Null where it cannot be said: root may not read it, or this process did not install that value. */
  readonly holds: boolean | null
}

/**
 * An open way to one system with root rights. Every method rejects with a `RekeyError` of a `target_*` code whose message and
 * detail are free of secrets. Calling any of them twice is harmless.
 *
 * Where `SystemSpec.server` names a server, every root connection asks the server which one it is before anything else, and another
 * one is `target_conflict` (`isOtherServer`): nothing is changed or listed there.
 */
export interface Target {
  /** Which server answers, as it said when the connection was made on which this asks. */
  identify(ctx: Ctx): Promise<ServerIdentity>
  /**
   * Makes `secret` accepted on the account. In-place and alternating: it replaces; dual: it is added beside `current`.
   * Sends a verifier. Resolves with a mark: sessions after it were opened with the new value (where the system can tell).
   * `target_refused_by_policy` means the target was not changed and wants another value.
   */
  install(ctx: Ctx, order: InstallOrder): Promise<{ readonly mark: Mark }>
  /**
   * Logs in as a consumer would and logs out again, without root rights. Never rejects. A login that another server than that of
   * `SystemSpec.server` let in is `inconclusive` (`OTHER_SERVER`). Who answers a refused one cannot be told.
   */
  probe(ctx: Ctx, account: string, secret: Secret): Promise<Probe>
  /**
   * Removes the old value (in-place: nothing is left to remove; alternating: the account loses its password; dual: the value alone is
   * taken away, or, if `old` is null, every value but `keep`). Resolves with a mark taken afterwards.
   */
  retire(ctx: Ctx, order: RetireOrder): Promise<{ readonly mark: Mark }>
  /** Sessions of the account, not Rekey's own, opened before or after the mark; all of them when no mark is given. */
  sessions(ctx: Ctx, account: string, where?: { readonly before?: Mark; readonly after?: Mark }): Promise<readonly Session[]>
  /**
   * Other accounts than this one at which a login by the same name with this value is let in, from somewhere: there its refusal here says
   * nothing. Names as the inventory has them, sorted. Only where one login name has several accounts.
   */
  sameLogins?(ctx: Ctx, account: string, secret: Secret): Promise<readonly string[]>
  /** Ends the account's sessions opened before the mark (all without one), waits until they are gone. Resolves with how many it ended. */
  endSessions(ctx: Ctx, account: string, before?: Mark): Promise<number>
  /**
   * As `endSessions`, and with it, read when none of them was left, whether the account has exactly what `install` of `held` gave it (null:
   * no value at all), by the system's own tables. Only where a connector can tell.
   */
  endSessionsAndCompare?(ctx: Ctx, account: string, before: Mark | undefined, held: Secret | null): Promise<Ended>
  /** Accounts that exist on the system. */
  discover(ctx: Ctx): Promise<readonly Account[]>
  /** What about the system will keep rotations from working, each a sentence or two for people. Only where a connector can tell. */
  warnings?(ctx: Ctx): Promise<readonly string[]>
  /** What the account may do, one sorted text per right. Names are those of objects; the account itself is not named as the one who may. */
  listGrants(ctx: Ctx, account: string): Promise<readonly string[]>
  /**
   * Nobody logs in to the account any more, with whatever value; the values stay. Sessions live on (`endSessions`). Throws
   * `target_conflict` if there is no such account. Only where `suspension` is declared, as the next three.
   */
  suspend?(ctx: Ctx, account: string): Promise<void>
  /** Takes a suspension back: the values of before are accepted again. */
  resume?(ctx: Ctx, account: string): Promise<void>
  /** Takes every value from the account and stops its logins. What it owns and what it was granted stays, so nothing of others breaks. */
  destroy?(ctx: Ctx, account: string): Promise<void>
  /** What the system itself says of the account's logins; for an account that does not exist it is an answer too. */
  logins?(ctx: Ctx, account: string): Promise<Logins>
  /** Drops idle connections that were opened with an older root secret. */
  forgetRoot(spec: SystemSpec): Promise<void>
  close(): Promise<void>
}

export interface Connector {
  describe(): Capabilities
  /**
   * Throws `bad_input` if the name cannot be an account of this system (empty, NUL, too long, reserved). Of one account it accepts one
   * spelling, so that accounts can be compared as text.
   */
  checkAccount(name: string): void
  /** Opens nothing yet: connections are made at first use and closed when idle. */
  open(spec: SystemSpec): Target
}

/** True if a connector said with root rights that the account is not there; any other error proves nothing about that. */
export function isNoAccount(error: unknown): boolean {
  return isCode(error, 'target_conflict') && error.message === NO_ACCOUNT.message
}

/** Whether the account was let in, but the server could not be asked whether it is the one on record: later it may be. */
export function isUnconfirmed({ code }: Pick<Probe, 'code'>): boolean {
  return code === UNKNOWN_SERVER
}

/** True if another server answered than the one that was named in `SystemSpec.server`. */
export function isOtherServer(error: unknown): boolean {
  return isCode(error, 'target_conflict') && error.detail === OTHER_SERVER
}
