import { createCipheriv, createDecipheriv, createHash, createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { RekeyError, Secret } from '../kernel/index.ts'

/** First byte of every sealed value; a later format gets the next number and old ones stay readable. */
const FORMAT = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32

/**
 * Seals bytes with AES-256-GCM (NIST SP 800-38D) under a fresh random 96-bit nonce: `1 ‖ nonce ‖ ciphertext ‖ tag`.
 * `bound` is associated data that must be given again to open, normally which row and column the value belongs to, so that a
 * ciphertext copied into another row does not open there.
 * The key goes in as a key object: Node takes four times as long with plain bytes.
 * Random nonces allow 2^32 values under one key (section 8.3); a data key sees a handful, a key-encryption key one per credential.
 */
export function seal(key: Secret, plain: Secret, bound: string): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES)
  return key.reveal((keyBytes) => {
    const cipher = createCipheriv('aes-256-gcm', createSecretKey(keyBytes), nonce).setAAD(Buffer.from(bound))
    const body = plain.reveal((bytes) => cipher.update(bytes))
    return Buffer.concat([Buffer.of(FORMAT), nonce, body, cipher.final(), cipher.getAuthTag()])
  })
}

/** Opens what `seal` made. Throws `sealed_damaged` if key, bound or a single bit is another; the message says nothing of the content. */
export function open(key: Secret, sealed: Uint8Array, bound: string): Secret {
  if (sealed.length <= 1 + NONCE_BYTES + TAG_BYTES || sealed[0] !== FORMAT) {
    throw new RekeyError('sealed_damaged', 'A sealed value is not in a known format.', { detail: bound })
  }
  const nonce = sealed.subarray(1, 1 + NONCE_BYTES)
  const tag = sealed.subarray(sealed.length - TAG_BYTES)
  try {
    return key.reveal((keyBytes) => {
      const decipher = createDecipheriv('aes-256-gcm', createSecretKey(keyBytes), nonce, { authTagLength: TAG_BYTES })
      decipher.setAAD(Buffer.from(bound)).setAuthTag(tag)
      const body = decipher.update(sealed.subarray(1 + NONCE_BYTES, sealed.length - TAG_BYTES))
      try {
        // In this mode nothing is left for the end: it only checks the tag, and throws.
        decipher.final()
        return new Secret(body)
      } finally {
        body.fill(0)
      }
    })
  } catch (error) {
    throw new RekeyError('sealed_damaged', 'A sealed value does not open with this key.', { detail: bound, cause: error })
  }
}

/** A secret of these bytes, which are wiped. */
export function taken(bytes: Uint8Array): Secret {
  try {
    return new Secret(bytes)
  } finally {
    bytes.fill(0)
  }
}

/** A new 256-bit key from the operating system's generator. */
export function newKey(): Secret {
  return taken(randomBytes(KEY_BYTES))
}

/**
 * A fingerprint by which equal secrets can be found without keeping them: HMAC-SHA256 under a key of this installation, first
 * 128 bits, base64url. Without the key it allows no guessing.
 */
export function fingerprint(key: Secret, secret: Secret): string {
  return key.reveal((keyBytes) =>
    secret.reveal((bytes) =>
      createHmac('sha256', createSecretKey(keyBytes))
        .update('rekey fingerprint v1\0')
        .update(bytes)
        .digest()
        .subarray(0, 16)
        .toString('base64url'),
    ),
  )
}

/** The answer to a possession challenge: HMAC-SHA256 keyed by the secret itself over a fixed label and the server's nonce. */
export function possessionProof(secret: Secret, nonce: Uint8Array): Uint8Array {
  return secret.reveal((bytes) => createHmac('sha256', bytes).update('rekey possession v1\0').update(nonce).digest())
}

/** Unpredictable bytes for nonces and tokens. */
export function randomSecret(bytes: number): Secret {
  return new Secret(randomBytes(bytes))
}

/** SHA-256 of a text as UTF-8, lower-case hex: to tell whether two public texts are the same. Never for a secret: it could be guessed. */
export function digestHex(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
