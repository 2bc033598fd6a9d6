interface Waiting<Item, Result> {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

/**
 * Joins what many callers want committed into few transactions: while one batch is being committed, the next collects. With
 * eight rotations at once a commit (one fsync) then serves up to eight of them; a lone caller waits only for the turn of
 * the event loop to end.
 *
 * `commit` gets every item and resolves with one result per item, in order; when it rejects, every item of that batch is tried
 * again alone, so that one bad item cannot fail its neighbours.
 *
 * Rejected: waiting 2 or 5 ms for more items when several are under way. Batches grew, but the rotations waited: 0.55 instead of
 * 0.7 of the floor (bench/rotation.ts). Two or three batches at once: more and smaller statements, no gain.
 */
export class Batcher<Item, Result> {
  readonly #commit: (items: readonly Item[]) => Promise<readonly Result[]>
  readonly #most: number
  #waiting: Waiting<Item, Result>[] = []
  #running = false

  constructor(commit: (items: readonly Item[]) => Promise<readonly Result[]>, most: number) {
    this.#commit = commit
    this.#most = most
  }

  /** Resolves or rejects once the item's transaction has. */
  submit(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (!this.#running) void this.#drain()
    })
  }

  async #drain(): Promise<void> {
    this.#running = true
    while (this.#waiting.length > 0) {
      // What else becomes ready in this turn of the event loop comes along: a claim starts several rotations at once.
      await new Promise(setImmediate)
      const batch = this.#waiting.splice(0, this.#most)
      if (!(await this.#settle(batch)) && batch.length > 1) for (const one of batch) await this.#settle([one])
    }
    this.#running = false
  }

  /** True if settled; a failed batch of several is left for the caller to try one by one. */
  async #settle(batch: readonly Waiting<Item, Result>[]): Promise<boolean> {
    try {
      const results = await this.#commit(batch.map((entry) => entry.item))
      if (results.length !== batch.length) throw new RangeError('a batch must give one result per item')
      batch.forEach((entry, index) => {
        entry.resolve(results[index] as Result)
      })
      return true
    } catch (error) {
      if (batch.length === 1) for (const entry of batch) entry.reject(error)
      return false
    }
  }
}
