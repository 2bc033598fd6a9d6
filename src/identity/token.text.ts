import { crc32 } from 'node:zlib'
import { Secret } from '../kernel/index.ts'
import { randomSecret } from '../seal/index.ts'

/** 256 bits: nobody guesses one, so a plain SHA-256 of it may be stored and looked up. */
const TOKEN_BYTES = 32
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** 62 to the power of 43 is more than 2 to the power of 256; 62 to the power of 6 more than 2 to the power of 32. */
const VALUE_CHARS = 43
const SUM_CHARS = 6
const FORM = new RegExp(`^rekey_([0-9A-Za-z]{${VALUE_CHARS}})([0-9A-Za-z]{${SUM_CHARS}})$`)

function base62(bytes: Uint8Array, chars: number): string {
  let rest = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  let text = ''
  for (let i = 0; i < chars; i++) {
    text = `${DIGITS[Number(rest % 62n)]}${text}`
    rest /= 62n
  }
  return text
}

function sumOf(value: string): string {
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(value))
  return base62(sum, SUM_CHARS)
}

/**
 * A new API token: `rekey_`, 43 digits of base 62 (256 bits), and the CRC-32 of those digits in 6 more. One word for every editor and
 * shell, and whoever scans files for secrets can tell a token from a text that only looks like one.
 */
export function newTokenText(): Secret {
  const value = randomSecret(TOKEN_BYTES).reveal((bytes) => base62(bytes, VALUE_CHARS))
  return Secret.fromText(`rekey_${value}${sumOf(value)}`)
}

/** True if a text has the form of a token but not its sum: no server ever made it. Tokens of the first release have another form. */
export function isMistyped(text: string): boolean {
  const [, value = '', sum] = FORM.exec(text) ?? []
  return sum !== undefined && sum !== sumOf(value)
}
