import { IDENTITY_CHANGED } from '../identity/index.ts'
import { type Ctx, LIMITS } from '../kernel/index.ts'
import { settleClosures, takeChanges } from './closure.changes.ts'
import { recordItemFault } from './closure.faults.ts'
import { CLOSURE_NUDGE } from './closure.rows.ts'
import { type ClosureParts, ItemRun } from './closure.run.ts'
import { ITEM_STEPS } from './closure.steps.ts'
import { claimItems, freeItems, type ItemWork, itemHolders, loadItems, wakeRotated } from './closure.store.ts'
import { deadHolders } from './leases.ts'
import { Reconciler } from './reconciler.ts'
import { missReviews, openReviews } from './review.ts'

/** How often the rows are looked at while rotations are waited for: they end without a word. */
const LOOK_SOON_MS = 100
const AT_ONCE = 16

/** Runs one claimed item until it ends or has to wait. Never rejects. */
async function runItem(parts: ClosureParts, ctx: Ctx, work: ItemWork): Promise<void> {
  const run = new ItemRun(parts, ctx, work)
  try {
    await run.open()
    for (;;) {
      const step = ITEM_STEPS[run.state]
      if (step === undefined) return await run.commit({ dueMs: null })
      const result = await step(run)
      if (result === 'end') return
      if (result !== 'go') return await run.commit({ dueMs: result.waitMs })
    }
  } catch (error) {
    await recordItemFault(run, error)
  }
}

/** The reconciler of closures. It takes changes of identities from their rows first. */
export class Closer extends Reconciler<ItemWork> {
  protected readonly atOnce = AT_ONCE
  protected readonly trouble = 'closures cannot be looked for, trying again'
  readonly #parts: ClosureParts
  #waitsForRotations = false
  /** Something outside happened since the rows outside were looked at. */
  #told = true
  #lookedMs = Number.NEGATIVE_INFINITY
  #putOff = false

  constructor(parts: ClosureParts, ctx: Ctx) {
    super(ctx)
    this.#parts = parts
  }

  protected async listen(onNudge: () => void) {
    const unlisten: (() => Promise<void>)[] = []
    const onNotice = () => {
      this.#told = true
      onNudge()
    }
    for (const channel of [IDENTITY_CHANGED, CLOSURE_NUDGE]) unlisten.push(await this.#parts.store.listen(channel, onNotice))
    return unlisten
  }

  protected override async look(): Promise<void> {
    await this.#lookOutside()
    await super.look()
    if (this.idle) await settleClosures(this.#parts, this.ctx)
  }

  /**
   * Changes of identities, and rotations that ended. Each item that ends makes it look for the next one, which says nothing of either:
   * without a notice ten times a second is enough. It was four statements for each step of each item: 2,300 commits for 200 rotations
   * where 680 did the rotations themselves.
   */
  async #lookOutside(): Promise<void> {
    const nowMs = this.ctx.clock.monotonicMs()
    this.#putOff = !this.#told && nowMs - this.#lookedMs < LOOK_SOON_MS
    if (this.#putOff) return
    this.#told = false
    this.#lookedMs = nowMs
    try {
      await takeChanges(this.#parts, this.ctx)
      this.#waitsForRotations = await wakeRotated(this.#parts.store)
    } catch (error) {
      this.#told = true
      throw error
    }
  }

  protected async chores(running: readonly string[]): Promise<void> {
    const { store } = this.#parts
    const dead = deadHolders(await itemHolders(store))
    if (dead.length > 0) await freeItems(store, { holders: dead })
    await freeItems(store, { by: this.self, running })
    await openReviews(this.#parts, this.ctx)
    await missReviews(this.#parts, this.ctx)
    await settleClosures(this.#parts, this.ctx)
  }

  protected override pauseMs(): number {
    return this.#waitsForRotations || this.#putOff ? LOOK_SOON_MS : super.pauseMs()
  }

  protected async claim(room: number): Promise<readonly ItemWork[]> {
    const { store } = this.#parts
    const ids = await claimItems(store, room, LIMITS.leaseMs, this.self)
    return ids.length === 0 ? [] : loadItems(store, ids)
  }

  protected run(work: ItemWork): Promise<void> {
    return runItem(this.#parts, this.ctx, work)
  }

  protected async release(): Promise<void> {
    await freeItems(this.#parts.store, { by: this.self, running: [] }).catch(() => undefined)
  }
}
