import type { Secret } from '../kernel/index.ts'
import type { Address, Connector } from './contract.ts'

/** A consumer's own connection, opened with the system's ordinary client and not through the connector. */
export interface LabSession {
  /** True while the system still serves it (asks it something; a cut connection is false, never a rejection). */
  alive(): Promise<boolean>
  close(): Promise<void>
}

/** A TCP hop before the system that can be made to misbehave. `test/lab/proxy.ts` is one. */
export interface LabProxy {
  readonly port: number
  /** The next request that carries `marker` reaches the system; its reply is dropped and the connection cut. Holds once. */
  cutAfterRequest(marker: string): void
  /**
   * The next request that carries `marker` is held back, also when the client goes meanwhile, until the returned function is called, which
   * resolves when the system has answered it or closed the connection. Holds once.
   */
  holdRequest(marker: string): () => Promise<void>
  /** Replies reach the client so many milliseconds late. */
  delay(ms: number): void
  /** Cuts what is open and every new connection. */
  refuse(): void
  /** Back to passing everything. */
  heal(): void
  stop(): Promise<void>
}

/** PEM texts of a certificate and its private key. */
export interface LabCertificate {
  readonly cert: string
  readonly key: string
}

/** What a certificate says: host names and IPv4 addresses, and the days from now at which it begins and ends (-1 and 30). */
export interface LabSubject {
  readonly hosts: readonly string[]
  readonly days?: readonly [number, number]
}

/** Makes certificates of every kind. `test/lab/certificates.ts` does. */
export interface LabCertificates {
  /** Another authority at each call, with the same name. `ca` is its own certificate, PEM. */
  makeAuthority(): { readonly ca: string; issue(subject: LabSubject): LabCertificate }
  selfSigned(subject: LabSubject): LabCertificate
}

/** What the suite needs of one real, running system. Everything here goes around the connector, with the system's own means. */
export interface ContractLab {
  readonly connector: Connector
  /** The real address, nothing in between. */
  readonly address: Address
  readonly root: { readonly account: string; readonly secret: Secret }
  /** Text in the clear of an install request, by which the proxy knows it: `ALTER ROLE`, `ALTER USER`, `SETUSER`. */
  readonly installMarker: string
  /** Those of `HOSTILE_ACCOUNTS`, and any others, that this system cannot have and `checkAccount` must refuse. */
  readonly impossibleAccounts: readonly string[]
  /** Those of `HOSTILE_ACCOUNTS` that are valid but may log in only from elsewhere (`at@host` means a host on MariaDB). */
  readonly elsewhereAccounts?: readonly string[]
  /** Creates an account that may log in with this value, able to do a little. */
  createAccount(name: string, secret: Secret): Promise<void>
  /** Replaces the root account's value, so that only `secret` is accepted. */
  setRootSecret(secret: Secret): Promise<void>
  /** Logs in as a consumer of that name and stays. Rejects if the value is refused. */
  openSession(account: string, secret: Secret, application: string): Promise<LabSession>
  /** Connections on the system without the lab's own: consumers', Rekey's, half-closed ones. */
  countConnections(): Promise<number>
  readonly certificates: LabCertificates
  /** From now on the system offers TLS with this certificate. Resolves with the address where it does so, `tls` still to be chosen. */
  serveTls(certificate: LabCertificate): Promise<Address>
  /** In front of `address`. */
  startProxy(): Promise<LabProxy>
  /** A port that accepts connections and never says a word. */
  startSilent(): Promise<{ readonly port: number; stop(): Promise<void> }>
  /** A loopback port on which nothing listens. */
  closedPort(): Promise<number>
  /** States in which a login with the right value must be `inconclusive`. Each begins for one account and resolves with its end. */
  readonly disturbances: readonly { readonly name: string; begin(account: string): Promise<() => Promise<void>> }[]
  /** Values that the system's own policy refuses for an existing account; none if the system has no policy. */
  readonly refusals: readonly { readonly name: string; begin(): Promise<{ account: string; secret: Secret; end(): Promise<void> }> }[]
  stop(): Promise<void>
}

/** Account names as an attacker or a careless colleague would choose them; PostgreSQL's 63 bytes are the longest common length. */
export const HOSTILE_ACCOUNTS: readonly string[] = [
  'Mixed Case and spaces',
  'quote"double',
  "quote'single",
  "'; drop table t; --",
  '"; drop role x; --',
  'back\\slash',
  'ends with backslash\\',
  'semi;colon',
  'percent%s%d',
  'dollar$1$$',
  'at@host',
  '`tick`',
  'Zoë-Ünïcode-Ж-漢-🔑',
  'line\nbreak',
  'x'.repeat(63),
  `${'é'.repeat(31)}x`,
  'select',
  '-flag',
  '*',
]
