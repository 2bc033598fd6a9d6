import type { Capabilities, Connector, SystemSpec, Target } from '../contract.ts'
import { checkSpelling } from './names.ts'
import { MariadbTarget } from './target.ts'

const CAPABILITIES: Capabilities = {
  connector: 'mariadb',
  strategies: ['in-place', 'dual'],
  canRevoke: true,
  acceptsVerifier: 'mysql_native_password',
  canListGrants: true,
  canEndSessions: true,
  sessionTellsVersion: ['in-place'],
  sessionNamesConsumer: false,
  revocationLatencyMs: 0,
  loginWindowMs: 0,
  defaultPort: 3306,
  rootStrategy: 'dual',
  suspension: {
    suspends: 'ACCOUNT LOCK',
    destroys: 'ACCOUNT LOCK, and the hash of a value that nobody knows',
    answers: ['ER_ACCOUNT_HAS_BEEN_LOCKED'],
  },
}

/**
 * MariaDB 10.4 or newer. An account is `name` (from any host) or `name@host`. Only finished hashes of `mysql_native_password` travel,
 * so that no value reaches the server's query, slow, audit or binary logs.
 */
export const mariadb: Connector = {
  describe: () => CAPABILITIES,
  checkAccount: checkSpelling,
  open: (spec: SystemSpec): Target => new MariadbTarget(spec),
}
