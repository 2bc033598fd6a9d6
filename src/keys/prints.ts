import { Secret } from '../kernel/index.ts'
import { fingerprint, messageSignature } from '../seal/index.ts'

/**
 * What is kept of a request, to tell later whether another one is the same. In the place of a secret stands its fingerprint under a key of
 * this installation: another secret makes another text, and without the key nothing can be guessed from it.
 */
export class RequestPrints {
  readonly #secret: Secret

  /** `secret`: one of this installation's; other keys are derived from it. */
  constructor(secret: Secret) {
    this.#secret = secret
  }

  /** `of`: whose request it is, and which; that two of them carry the same secret does not show. */
  textOf(of: readonly string[], request: unknown): string {
    const key = new Secret(Buffer.from(messageSignature(this.#secret, `rekey request v1 ${JSON.stringify(of)}`), 'hex'))
    // `shown` is what `toJSON` made of it, which for every secret is the same.
    return JSON.stringify(request, function (this: Record<string, unknown>, name, shown: unknown) {
      const raw = this[name]
      return raw instanceof Secret ? { fingerprint: fingerprint(key, raw) } : shown
    })
  }
}
