import { TLSSocket } from 'node:tls'
import { RekeyError } from '../../kernel/index.ts'
import type { Address } from '../contract.ts'

/** What evidence and errors call a server that let somebody in and showed in no way that it is the right one. */
export const NOT_PROVEN = 'SERVER_NOT_PROVEN'

/** Whether the stream's other end showed a certificate for the host of the address. `require` with an authority is not enough. */
export function isVerified({ tls }: Address, stream: unknown): boolean {
  return tls === 'verify-full' && stream instanceof TLSSocket && stream.authorized
}

/** `target_conflict`: root was let in by a server that could be anybody's. */
export function rootNotProven(): RekeyError {
  return new RekeyError('target_conflict', 'PostgreSQL let root in without showing that it knows the value of root: it could be anybody.', {
    hint:
      'Let root log in by SCRAM: password_encryption = scram-sha-256, set the password of root again, and name scram-sha-256 in ' +
      'pg_hba.conf. Or set tls: verify-full.',
    detail: NOT_PROVEN,
  })
}
