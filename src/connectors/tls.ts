import { isUntrusted, RekeyError } from '../kernel/index.ts'
import type { Address } from './contract.ts'

/** Options of Node's `tls.connect`, as far as they decide whom a connector trusts. */
export interface TlsOptions {
  readonly rejectUnauthorized: boolean
  readonly checkServerIdentity?: () => undefined
  readonly ca?: string
}

/**
 * What is checked of the server's certificate, or null without TLS. The words mean what they mean to libpq (PostgreSQL manual, "SSL
 * Support", table of modes): `require` encrypts, and checks the authority when one is named (as `verify-ca`), never the host name;
 * `verify-full` checks the authority (the machine's own when none is named) and the host name.
 */
export function tlsOptions({ tls, ca }: Address): TlsOptions | null {
  if (tls === 'off') return null
  const authority = ca === undefined ? {} : { ca }
  if (tls === 'verify-full') return { ...authority, rejectUnauthorized: true }
  return { ...authority, rejectUnauthorized: ca !== undefined, checkServerIdentity: () => undefined }
}

/** `target_unreachable` with what is wrong, if a connection ended because the server's certificate is not trusted; null for all else. */
export function untrusted(system: string, code: string): RekeyError | null {
  if (!isUntrusted(code)) return null
  return new RekeyError('target_unreachable', `The certificate of ${system} is not trusted: ${code}.`, {
    detail: code,
    hint: 'Compare caFile and the host of the address with the certificate, and look at its dates. No value was sent.',
  })
}
