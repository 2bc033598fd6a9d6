import { inspect } from 'node:util'
import { RekeyError } from './errors.ts'

const MASK = '[secret]'

/**
 * A secret value that cannot be printed, logged, serialised or compared by accident.
 * `reveal` is the only way to the bytes: grep `reveal(` to audit every use.
 */
export class Secret {
  readonly #bytes: Uint8Array

  /** Takes a copy of `bytes`: the caller may wipe its own. Throws `bad_input` if there are none. */
  constructor(bytes: Uint8Array) {
    if (bytes.length === 0) throw new RekeyError('bad_input', 'A secret cannot be empty.')
    this.#bytes = Uint8Array.from(bytes)
  }

  /** A secret from text, as UTF-8. Throws `bad_input` if the text is empty. */
  static fromText(text: string): Secret {
    return new Secret(new TextEncoder().encode(text))
  }

  /** Hands the bytes to `use`, which must not keep them. */
  reveal<T>(use: (bytes: Uint8Array) => T): T {
    return use(this.#bytes)
  }

  /** Hands the value to `use` as UTF-8 text. Throws `bad_input` if it is not UTF-8. */
  revealText<T>(use: (text: string) => T): T {
    let text: string
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(this.#bytes)
    } catch {
      throw new RekeyError('bad_input', 'The secret is not valid UTF-8 text.')
    }
    return use(text)
  }

  /** Equal in content, in a time that does not depend on where they differ. */
  equals(other: Secret): boolean {
    const a = this.#bytes
    const b = other.#bytes
    let difference = a.length ^ b.length
    for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i % b.length] ?? 0)
    return difference === 0
  }

  toJSON(): string {
    return MASK
  }

  toString(): string {
    return MASK
  }

  [inspect.custom](): string {
    return MASK
  }

  /** Template text shows the mask; `+`, `<`, `==` with a primitive throw, since they would compare or join by accident. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === 'string') return MASK
    throw new TypeError('A Secret cannot be compared, added or converted: use equals() or reveal().')
  }
}
