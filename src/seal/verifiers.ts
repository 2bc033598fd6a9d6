import { createHash } from 'node:crypto'
import type { Secret } from '../kernel/index.ts'

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
