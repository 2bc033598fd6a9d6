import { createHash, createHmac, createSecretKey, type KeyObject, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { RekeyError, Secret } from '../kernel/index.ts'

const derive = promisify(pbkdf2)

/** PostgreSQL's own default; each iteration slows an attacker who stole the verifier. Never lowered for speed. */
export const SCRAM_ITERATIONS = 4096
/** A server that asks for more would keep a processor busy at will. */
const MOST_ITERATIONS = 100_000
const SALT_BYTES = 16
const NONCE_BYTES = 18

/** What a value becomes under a salt: `SaltedPassword` of RFC 5802. As good as the value to who wants to log in, hence a `Secret`. */
export interface ScramKey {
  /** Base64. */
  readonly salt: string
  readonly iterations: number
  readonly salted: Secret
}

/** Key objects, because Node takes three times as long to find out that plain bytes are none (14 against 5 µs a call). */
const hmac = (key: KeyObject, text: string) => createHmac('sha256', key).update(text).digest()
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()

/** The slow part of SCRAM-SHA-256, in a thread of its own. Throws `bad_input` if the value is not UTF-8. */
export async function scramKey(
  secret: Secret,
  salt: Uint8Array = randomBytes(SALT_BYTES),
  iterations = SCRAM_ITERATIONS,
): Promise<ScramKey> {
  const salted = await secret.revealText((text) => derive(prepared(text), salt, iterations, 32, 'sha256'))
  return { salt: Buffer.from(salt).toString('base64'), iterations, salted: new Secret(salted) }
}

/**
 * SASLprep (RFC 4013) as PostgreSQL's drivers do it: other spaces become spaces, what is mapped to nothing goes, then NFKC. Nothing
 * changes in printable ASCII, of which every generated value consists; declared ones may be anything.
 */
function prepared(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text
  const spaces = /[\u00A0\u1680\u2000-\u200B\u202F\u205F\u3000]/g
  const nothing = /\u00AD|\u034F|\u1806|[\u180B-\u180D]|\u200C|\u200D|\u2060|[\uFE00-\uFE0F]|\uFEFF/g
  return text.replace(spaces, ' ').replace(nothing, '').normalize('NFKC')
}

/** The verifier that goes with a key, in PostgreSQL's form (RFC 5803): `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. */
export function scramVerifierOf({ salt, iterations, salted }: ScramKey): string {
  return salted.reveal((bytes) => {
    const key = createSecretKey(bytes)
    const stored = sha256(hmac(key, 'Client Key')).toString('base64')
    return `SCRAM-SHA-256$${iterations}:${salt}$${stored}:${hmac(key, 'Server Key').toString('base64')}`
  })
}

/**
 * A SCRAM-SHA-256 verifier in PostgreSQL's form (RFC 5803, RFC 7677). The value must be printable ASCII; otherwise throws `bad_input`.
 * @param salt 16 fresh random bytes unless given (for tests against outside vectors)
 */
export async function scramSha256Verifier(secret: Secret, salt?: Uint8Array): Promise<string> {
  return scramVerifierOf(await newScramKey(secret, salt))
}

/** The key of a value about to be installed: under 16 fresh random bytes of salt. Throws `bad_input` if it is not printable ASCII. */
export async function newScramKey(secret: Secret, salt?: Uint8Array): Promise<ScramKey> {
  secret.reveal((bytes) => {
    if (bytes.some((byte) => byte < 0x20 || byte > 0x7e)) {
      throw new RekeyError('bad_input', 'A SCRAM password must be printable ASCII here.', { hint: 'Let Rekey generate the value.' })
    }
  })
  return scramKey(secret, salt)
}

const SERVER_FIRST = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9][0-9]{0,9})$/
const SERVER_FINAL = /^v=([A-Za-z0-9+/]+={0,2})$/

/** The client's side of one SCRAM-SHA-256 login (RFC 5802, RFC 7677), without channel binding. The server is not trusted. */
export class ScramLogin {
  /** The first message to the server. */
  readonly first: string
  readonly #nonce: string
  readonly #bare: string
  #signature: Uint8Array | null = null

  /** Both are for tests against outside vectors: PostgreSQL ignores the user's name here, and a nonce is used once. */
  constructor(user = '*', nonce = randomBytes(NONCE_BYTES).toString('base64')) {
    this.#nonce = nonce
    this.#bare = `n=${user},r=${nonce}`
    this.first = `n,,${this.#bare}`
  }

  /**
   * The answer to the server's challenge, or `null` if that is none. `known` saves the slow part if it is of the salt that is asked for.
   * Throws `bad_input` if the value is not UTF-8.
   */
  async answer(challenge: string, secret: Secret, known?: ScramKey): Promise<string | null> {
    const [, nonce = '', salt = '', count = ''] = SERVER_FIRST.exec(challenge) ?? []
    const iterations = Number(count)
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length || iterations > MOST_ITERATIONS) return null
    const fits = known?.salt === salt && known.iterations === iterations
    const { salted } = fits ? known : await scramKey(secret, Buffer.from(salt, 'base64'), iterations)
    const unproven = `c=biws,r=${nonce}`
    const all = `${this.#bare},${challenge},${unproven}`
    return salted.reveal((bytes) => {
      const key = createSecretKey(bytes)
      this.#signature = hmac(createSecretKey(hmac(key, 'Server Key')), all)
      const clientKey = hmac(key, 'Client Key')
      const signature = hmac(createSecretKey(sha256(clientKey)), all)
      return `${unproven},p=${Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0))).toString('base64')}`
    })
  }

  /** True if the server's last message shows that it holds the verifier of this very value. */
  confirms(last: string): boolean {
    const told = Buffer.from(SERVER_FINAL.exec(last)?.[1] ?? '', 'base64')
    return this.#signature !== null && told.length === this.#signature.length && timingSafeEqual(told, this.#signature)
  }
}

/** The answer to PostgreSQL's older challenge: `md5` and the MD5 of (MD5 of value and account, as hex) and four bytes of salt. */
export function md5Answer(secret: Secret, account: string, salt: Uint8Array): string {
  const stored = secret.reveal((bytes) => createHash('md5').update(bytes).update(account).digest('hex'))
  return `md5${createHash('md5').update(stored).update(salt).digest('hex')}`
}
