import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { RekeyError, type Secret } from '../kernel/index.ts'

const derive = promisify(pbkdf2)

/** PostgreSQL's own default; each iteration slows an attacker who stole the verifier. Never lowered for speed. */
export const SCRAM_ITERATIONS = 4096
const SCRAM_SALT_BYTES = 16

/**
 * A SCRAM-SHA-256 verifier in PostgreSQL's form, `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (RFC 5803, RFC 7677).
 * The value must be printable ASCII, for which SASLprep (RFC 4013) changes nothing; otherwise throws `bad_input`.
 * @param salt 16 fresh random bytes unless given (for tests against outside vectors)
 */
export async function scramSha256Verifier(secret: Secret, salt: Uint8Array = randomBytes(SCRAM_SALT_BYTES)): Promise<string> {
  const salted = await secret.reveal((bytes) => {
    if (bytes.some((byte) => byte < 0x20 || byte > 0x7e)) {
      throw new RekeyError('bad_input', 'A SCRAM password must be printable ASCII here.', { hint: 'Let Rekey generate the value.' })
    }
    return derive(bytes, salt, SCRAM_ITERATIONS, 32, 'sha256')
  })
  const mac = (label: string) => createHmac('sha256', salted).update(label).digest()
  const storedKey = createHash('sha256').update(mac('Client Key')).digest('base64')
  const serverKey = mac('Server Key').toString('base64')
  return `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${Buffer.from(salt).toString('base64')}$${storedKey}:${serverKey}`
}

/** SHA-256 of the value, lower-case hex: what Redis ACL takes after `#`. Safe because the values are generated with 112 bits and more. */
export function sha256Hex(secret: Secret): string {
  return secret.reveal((bytes) => createHash('sha256').update(bytes).digest('hex'))
}

/** `*` and SHA-1 of the SHA-1 of the value, upper-case hex: what MariaDB's `mysql_native_password` stores. */
export function mysqlNativeHash(secret: Secret): string {
  return secret.reveal((bytes) => {
    const once = createHash('sha1').update(bytes).digest()
    return `*${createHash('sha1').update(once).digest('hex').toUpperCase()}`
  })
}
