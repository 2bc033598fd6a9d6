import { IDENTITY_CHANGED } from '../identity/index.ts'
import { type Ctx, LIMITS, makeCtx, messageOf, newId, RekeyError, sleep } from '../kernel/index.ts'
import { settleClosures, takeChanges } from './closure.changes.ts'
import { recordItemFault } from './closure.faults.ts'
import { CLOSURE_NUDGE } from './closure.rows.ts'
import { type ClosureParts, ItemRun } from './closure.run.ts'
import { ITEM_STEPS } from './closure.steps.ts'
import { claimItems, freeItems, type ItemWork, itemHolders, loadItems, wakeRotated } from './closure.store.ts'
import { deadHolders, thisProcess } from './leases.ts'
import { missReviews, openReviews } from './review.ts'

/** How often the rows are looked at without a nudge. */
const LOOK_EVERY_MS = 1_000
/** And while rotations are waited for: they end without a word. */
const LOOK_SOON_MS = 100
const AT_ONCE = 16
/** How long running steps may take to finish when it stops; then their calls are cut, and found open at the next start. */
const STOP_PATIENCE_MS = 8_000

/** Runs one claimed item until it ends or has to wait. Never rejects. */
async function runItem(parts: ClosureParts, ctx: Ctx, work: ItemWork): Promise<void> {
  let run: ItemRun | undefined
  try {
    run = await ItemRun.begin(parts, ctx, work)
    for (;;) {
      const step = ITEM_STEPS[run.state]
      if (step === undefined) return await run.commit({ dueMs: null })
      const result = await step(run)
      if (result === 'end') return
      if (result !== 'go') return await run.commit({ dueMs: result.waitMs })
    }
  } catch (error) {
    await recordItemFault(parts, ctx, run, work, error)
  }
}

/** Claims under a name of its own for each in this process. */
let closers = 0

/**
 * The reconciler of closures. It takes no input: it takes changes of identities from their rows, claims due items, and runs them; a
 * nudge only makes it look sooner. Any number may run on one database.
 */
export class Closer {
  readonly #parts: ClosureParts
  readonly #ctx: Ctx
  readonly #stopping = new AbortController()
  readonly #cut = new AbortController()
  readonly #running = new Map<string, Promise<void>>()
  #wake: () => void = () => undefined
  #woken = false
  #waitsForRotations = false
  #loop: Promise<void> = Promise.resolve()
  #unlisten: (() => Promise<void>)[] = []
  readonly #self = `${thisProcess()}#closer${++closers}`

  constructor(parts: ClosureParts, ctx: Ctx) {
    this.#parts = parts
    this.#ctx = makeCtx(`worker:${newId()}`, ctx.requestId, { signal: this.#cut.signal, clock: ctx.clock, log: ctx.log })
  }

  async start(): Promise<void> {
    for (const channel of [IDENTITY_CHANGED, CLOSURE_NUDGE]) {
      this.#unlisten.push(await this.#parts.store.listen(channel, () => this.nudge()))
    }
    this.#loop = this.#look()
  }

  /** Looks at the rows now. */
  nudge(): void {
    this.#woken = true
    this.#wake()
  }

  /** Lets running steps finish and leaves the rest to whoever comes next. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.nudge()
    await this.#loop
    const patience = setTimeout(() => this.#cut.abort(), STOP_PATIENCE_MS)
    await Promise.allSettled(this.#running.values())
    clearTimeout(patience)
    await freeItems(this.#parts.store, { by: this.#self, running: [] }).catch(() => undefined)
    for (const unlisten of this.#unlisten.splice(0)) await unlisten()
  }

  async #look(): Promise<void> {
    const { signal } = this.#stopping
    let nextChoresMs = 0
    while (!signal.aborted) {
      this.#woken = false
      try {
        if (this.#ctx.clock.monotonicMs() >= nextChoresMs) {
          nextChoresMs = this.#ctx.clock.monotonicMs() + LOOK_EVERY_MS
          await this.#chores()
        }
        await takeChanges(this.#parts, this.#ctx)
        this.#waitsForRotations = await wakeRotated(this.#parts.store)
        await this.#claimAndRun()
        if (this.#running.size === 0) await settleClosures(this.#parts, this.#ctx)
      } catch (error) {
        const detail = error instanceof RekeyError ? error.detail : undefined
        this.#ctx.log.warn({ error: messageOf(error), detail }, 'closures cannot be looked for, trying again')
      }
      if (!this.#woken) await this.#pause()
    }
  }

  async #chores(): Promise<void> {
    const { store } = this.#parts
    const dead = deadHolders(await itemHolders(store))
    if (dead.length > 0) await freeItems(store, { holders: dead })
    await freeItems(store, { by: this.#self, running: [...this.#running.keys()] })
    await openReviews(this.#parts, this.#ctx)
    await missReviews(this.#parts, this.#ctx)
    await settleClosures(this.#parts, this.#ctx)
  }

  #pause(): Promise<void> {
    const pause = new AbortController()
    this.#wake = () => pause.abort()
    return sleep(this.#waitsForRotations ? LOOK_SOON_MS : LOOK_EVERY_MS, pause.signal)
  }

  async #claimAndRun(): Promise<void> {
    const room = AT_ONCE - this.#running.size
    if (room <= 0) return
    const { store } = this.#parts
    const ids = await claimItems(store, room, LIMITS.leaseMs, this.#self)
    if (ids.length === 0) return
    for (const work of await loadItems(store, ids)) {
      const running = runItem(this.#parts, this.#ctx, work).finally(() => {
        this.#running.delete(work.id)
        this.nudge()
      })
      this.#running.set(work.id, running)
    }
  }
}
