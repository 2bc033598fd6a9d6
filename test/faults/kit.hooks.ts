import type { RotationParts } from '../../src/credential/index.ts'

type Trap = NonNullable<RotationParts['trap']>

/** Lets a test act at a place of one rotation, once. Everything that comes to a trap waits while rotations are being started. */
export class Hooks {
  readonly #acts = new Map<string, () => void | Promise<void>>()
  #starting: Promise<unknown> = Promise.resolve()

  readonly trap: Trap = async (where, rotation) => {
    await this.#starting
    const key = `${where} ${rotation}`
    const act = this.#acts.get(key)
    this.#acts.delete(key)
    await act?.()
  }

  /** Starts rotations by `start`, which resolves with their ids, and sets what happens when each comes to the place. */
  async start(
    start: () => Promise<string[]>,
    where: (index: number) => string,
    act: (index: number) => void | Promise<void>,
  ): Promise<string[]> {
    const started = start()
    this.#starting = started.then((ids) => {
      for (const [index, id] of ids.entries()) this.#acts.set(`${where(index)} ${id}`, () => act(index))
    })
    await this.#starting
    return started
  }

  /** How many have not been met yet: a test that waits for a place nobody comes to proves nothing. */
  get left(): number {
    return this.#acts.size
  }
}
