import type { EventEmitter } from 'node:events'
import { TLSSocket } from 'node:tls'
import type pg from 'pg'
import { RekeyError } from '../../kernel/index.ts'
import type { Address } from '../contract.ts'

/** What evidence and errors call a server that let somebody in and showed in no way that it is the right one. */
export const NOT_PROVEN = 'SERVER_NOT_PROVEN'

/** Whether the stream's other end showed a certificate for the host of the address. `require` with an authority is not enough. */
export function isVerified({ tls }: Address, stream: unknown): boolean {
  return tls === 'verify-full' && stream instanceof TLSSocket && stream.authorized
}

/** The library's own steps of a login, which it lets nobody else take. */
interface Inside {
  readonly connection: EventEmitter & { readonly stream: unknown }
  readonly saslSession?: object | null
  _handleAuthCleartextPassword(): void
  _handleAuthSASL(message: unknown): void
  _handleAuthSASLFinal(message: unknown): void
}

/**
 * Watches the login of the library's client, which itself takes a server's word that the login is good: in the middle of SCRAM, after
 * MD5, or without any question. Whoever is believed so gets the verifiers of new values, and with them passes for the server later.
 * So the server must have shown that it holds root's verifier (the end of SCRAM), or the certificate must be that of the host; and
 * a SCRAM that began must end, whatever the certificate. Only challenges are answered, never a question for the value in the clear.
 *
 * `end` closes the connection with a fault. The answer tells whether the login may be used; ask it once the library is connected.
 */
export function guardLogin(client: pg.Client, address: Address, end: (fault: Error) => void): () => boolean {
  const inside = client as unknown as Inside
  const { _handleAuthSASL: begin, _handleAuthSASLFinal: finish } = inside
  let begun = false
  let proven = false
  let admitted = false
  inside._handleAuthCleartextPassword = () => {
    end(Object.assign(new Error('the server asked for the password in the clear'), { code: 'CLEARTEXT_ASKED' }))
  }
  inside._handleAuthSASL = (message) => {
    begun = true
    proven = false
    begin.call(inside, message)
  }
  inside._handleAuthSASLFinal = (message) => {
    finish.call(inside, message)
    // The library forgets a session whose end was right, and only that.
    proven = begun && inside.saslSession === null
  }
  inside.connection.on('authenticationOk', () => {
    admitted = proven || (!begun && isVerified(address, inside.connection.stream))
  })
  return () => admitted
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
