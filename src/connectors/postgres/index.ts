import { RekeyError } from '../../kernel/index.ts'
import type { Capabilities, Connector } from '../contract.ts'
import { PostgresTarget } from './target.ts'

/** NAMEDATALEN - 1: PostgreSQL cuts longer names silently, and the cut name may be another account. */
const NAME_BYTES = 63

const CAPABILITIES: Capabilities = {
  connector: 'postgres',
  strategies: ['in-place', 'alternating'],
  canRevoke: true,
  acceptsVerifier: 'SCRAM-SHA-256',
  canListGrants: true,
  canEndSessions: true,
  sessionTellsVersion: ['in-place', 'alternating'],
  sessionNamesConsumer: true,
  revocationLatencyMs: 0,
  loginWindowMs: 60_000,
  defaultPort: 5432,
  rootStrategy: 'in-place',
  // The server looks at NOLOGIN after the password, so 28000 answers the right value only.
  suspension: { suspends: 'NOLOGIN', destroys: 'NOLOGIN PASSWORD NULL', answers: ['28000'] },
}

/**
 * PostgreSQL 15 or newer. One password per role: in place, or alternating between two login roles (`svc_a`, `svc_b` IN ROLE svc).
 * Root is a superuser, or has CREATEROLE with ADMIN on the accounts, pg_signal_backend and pg_read_all_stats.
 */
export const postgres: Connector = {
  describe: () => CAPABILITIES,
  checkAccount(name) {
    const fault = nameFault(name)
    if (fault) throw new RekeyError('bad_input', `Not a PostgreSQL account name: ${fault}.`)
  },
  open: (spec) => new PostgresTarget(spec),
}

function nameFault(name: string): string | null {
  if (name === '') return 'it is empty'
  if (name.includes('\0')) return 'it has a NUL character'
  if (!name.isWellFormed()) return 'it is not well-formed Unicode'
  if (Buffer.byteLength(name) > NAME_BYTES) return `it is longer than ${NAME_BYTES} bytes`
  if (name.startsWith('pg_')) return 'names that start with pg_ are reserved'
  // ALTER ROLE takes these two for keywords or refuses them, even quoted.
  if (name === 'public' || name === 'none') return 'the name is reserved'
  return null
}
