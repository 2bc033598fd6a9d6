import type { Capabilities, Connector, SystemSpec, Target } from '../contract.ts'
import { checkName } from './acl.ts'
import { RedisTarget } from './target.ts'

const CAPABILITIES: Capabilities = {
  connector: 'redis',
  strategies: ['dual'],
  canRevoke: true,
  acceptsVerifier: 'sha256',
  canListGrants: true,
  canEndSessions: true,
  // Several values live on one user, and a session does not tell with which it was opened.
  sessionTellsVersion: [],
  sessionNamesConsumer: false,
  revocationLatencyMs: 0,
  loginWindowMs: 0,
  defaultPort: 6379,
  rootStrategy: 'dual',
  // A user that is off is answered like a wrong value; root sees the difference.
  suspension: { suspends: 'off', destroys: 'off resetpass', answers: ['WRONGPASS'] },
}

/** Redis 7 (or Valkey) with ACL users, kept in an ACL file or in the configuration file. Root only ever sends the SHA-256 of a value. */
export const redis: Connector = {
  describe: () => CAPABILITIES,
  checkAccount: checkName,
  open: (spec: SystemSpec): Target => new RedisTarget(spec),
}
