import { sealEvents } from '../evidence/index.ts'
import { type Ctx, LIMITS, messageOf } from '../kernel/index.ts'
import { Batcher, type Store } from '../store/index.ts'
import { recheckRoots } from './inventory.root.recheck.ts'
import { freeDead } from './leases.ts'
import { Reconciler } from './reconciler.ts'
import { startDue } from './rotation.actions.ts'
import { recordFault } from './rotation.faults.ts'
import { withoutLeavers } from './rotation.leavers.ts'
import { recheckDue } from './rotation.recheck.ts'
import { type Move, type RotationParts, Run } from './rotation.run.ts'
import { STEPS } from './rotation.steps.ts'
import { claim, commitMoves, freeStrays, loadWork, type Work } from './rotation.store.ts'
import { shredDue } from './shred.ts'
import { NUDGE } from './worker.channel.ts'

/** Rotations that one process runs at once. */
const AT_ONCE = 32
/** Moves joined into one transaction at most. */
const BATCH = 64
/** Writes moves of many rotations and their evidence in one transaction, which is one statement. */
export function makeMoves(store: Store): RotationParts['moves'] {
  return new Batcher((moves: readonly Move[]) => writeMoves(store, moves), BATCH)
}

async function writeMoves(store: Store, moves: readonly Move[]) {
  const sealed = moves.map(({ commit, events, ctx }) => ({ commit, events: sealEvents(ctx, events) }))
  const moved = await commitMoves(store, sealed)
  return moves.map(({ commit }) => (moved.has(commit.id) ? { version: moved.get(commit.id) ?? null } : null))
}

/** Runs one claimed rotation until it ends, is blocked, or has to wait. Never rejects. */
export async function runRotation(parts: RotationParts, ctx: Ctx, work: Work): Promise<void> {
  const run = new Run(parts, ctx, work)
  try {
    await run.open()
    for (;;) {
      const step = STEPS[run.state]
      if (step === undefined) return void (await run.commit({ dueMs: null }))
      const result = await step(run)
      if (result === 'end') return
      if (result !== 'go') return void (await run.commit({ dueMs: result.waitMs }))
    }
  } catch (error) {
    await recordFault(run, error)
  }
}

/** The reconciler of rotations. */
export class Worker extends Reconciler<Work> {
  protected readonly atOnce = AT_ONCE
  protected readonly trouble = 'the worker cannot look for work, trying again'
  readonly #parts: RotationParts
  #rechecking: Promise<unknown> | null = null

  constructor(parts: RotationParts, ctx: Ctx) {
    super(ctx)
    this.#parts = parts
  }

  protected async listen(onNudge: () => void) {
    return [await this.#parts.store.listen(NUDGE, onNudge)]
  }

  protected async chores(running: readonly string[]): Promise<void> {
    await freeDead(this.#parts.store)
    await freeStrays(this.#parts.store, this.self, running)
    await startDue(this.#parts, this.ctx)
    await shredDue(this.#parts, this.ctx)
    // Calls systems, so nobody waits for it; one round at a time.
    this.#rechecking ??= Promise.all([recheckDue(this.#parts, this.ctx), recheckRoots(this.#parts, this.ctx)])
      .catch((error: unknown) => this.ctx.log.warn({ error: messageOf(error) }, 'late sessions could not be looked for'))
      .finally(() => {
        this.#rechecking = null
      })
  }

  protected async claim(room: number): Promise<readonly Work[]> {
    const { store } = this.#parts
    const ids = await claim(store, room, LIMITS.leaseMs, this.self)
    return ids.length === 0 ? [] : withoutLeavers(store, await loadWork(store, ids))
  }

  protected run(work: Work): Promise<void> {
    return runRotation(this.#parts, this.ctx, work)
  }

  protected async release(): Promise<void> {
    await this.#rechecking
    await freeStrays(this.#parts.store, this.self, []).catch(() => undefined)
  }
}
