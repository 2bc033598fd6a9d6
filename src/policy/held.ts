/** What was made of files of policies, found again by their texts. */
import type { PolicyFile } from './set.model.ts'

/** Keeps what it is given only as long as somebody else does: all of a set is held once, and none longer than it is used. */
export class HeldByTexts<T extends { readonly files: readonly PolicyFile[] }> {
  #held: WeakRef<T>[] = []

  add(one: T): T {
    this.#held = [...this.#held.filter((ref) => ref.deref() !== undefined), new WeakRef(one)]
    return one
  }

  /** One of exactly these texts; null if nobody holds any. */
  find(files: readonly PolicyFile[]): T | null {
    for (const ref of this.#held) {
      const one = ref.deref()
      if (one !== undefined && isSame(one.files, files)) return one
    }
    return null
  }
}

function isSame(some: readonly PolicyFile[], others: readonly PolicyFile[]): boolean {
  return some.length === others.length && some.every(({ name, text }, at) => name === others[at]?.name && text === others[at]?.text)
}
