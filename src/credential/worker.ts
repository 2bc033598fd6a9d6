import { sealEvents } from '../evidence/index.ts'
import { type Ctx, LIMITS, makeCtx, messageOf, newId, RekeyError, sleep } from '../kernel/index.ts'
import { Batcher, type Store } from '../store/index.ts'
import { freeDead, thisProcess } from './leases.ts'
import { startDue } from './rotation.actions.ts'
import { recordFault } from './rotation.faults.ts'
import { recheckDue } from './rotation.recheck.ts'
import { type Move, type RotationParts, Run } from './rotation.run.ts'
import { STEPS } from './rotation.steps.ts'
import { claim, commitMoves, freeStrays, loadWork, type Work } from './rotation.store.ts'
import { shredDue } from './shred.ts'
import { NUDGE } from './worker.channel.ts'

/** How often the rows are looked at without a nudge: pauses and leases that end, schedules. */
const LOOK_EVERY_MS = 1_000
/** Rotations that one process runs at once. */
const AT_ONCE = 32
/** Moves joined into one transaction at most. */
const BATCH = 64
/** How long running steps may take to finish when the worker stops; then their calls are cut, and found open at the next start. */
const STOP_PATIENCE_MS = 8_000

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

/** Workers of this process so far; each claims under a name of its own. */
let workers = 0

/**
 * The reconciler. It takes no input: it looks at the rows, claims what is due, and runs it; a nudge only makes it look sooner.
 * Any number may run on one database. `stop` lets running steps finish and leaves the rest to whoever comes next.
 */
export class Worker {
  readonly #parts: RotationParts
  readonly #ctx: Ctx
  /** No new work. */
  readonly #stopping = new AbortController()
  /** No more waiting for calls. */
  readonly #cut = new AbortController()
  /** By rotation. */
  readonly #running = new Map<string, Promise<void>>()
  #wake: () => void = () => undefined
  #woken = false
  #loop: Promise<void> = Promise.resolve()
  #rechecking: Promise<unknown> | null = null
  #unlisten: () => Promise<void> = async () => undefined
  readonly #self = `${thisProcess()}#${++workers}`

  constructor(parts: RotationParts, ctx: Ctx) {
    this.#parts = parts
    this.#ctx = makeCtx(`worker:${newId()}`, ctx.requestId, { signal: this.#cut.signal, clock: ctx.clock, log: ctx.log })
  }

  async start(): Promise<void> {
    this.#unlisten = await this.#parts.store.listen(NUDGE, () => this.nudge())
    this.#loop = this.#look()
  }

  /** Looks at the rows now. */
  nudge(): void {
    this.#woken = true
    this.#wake()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.nudge()
    await this.#loop
    const patience = setTimeout(() => this.#cut.abort(), STOP_PATIENCE_MS)
    await Promise.allSettled(this.#running.values())
    await this.#rechecking
    clearTimeout(patience)
    // What this worker still holds is free at once for another.
    await freeStrays(this.#parts.store, this.#self, []).catch(() => undefined)
    await this.#unlisten()
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
        await this.#claimAndRun()
      } catch (error) {
        this.#ctx.log.warn(
          { error: messageOf(error), detail: error instanceof RekeyError ? error.detail : undefined },
          'the worker cannot look for work, trying again',
        )
      }
      if (!this.#woken) await this.#pause()
    }
  }

  async #chores(): Promise<void> {
    await freeDead(this.#parts.store)
    await freeStrays(this.#parts.store, this.#self, [...this.#running.keys()])
    await startDue(this.#parts, this.#ctx)
    await shredDue(this.#parts, this.#ctx)
    // Calls systems, so nobody waits for it; one round at a time.
    this.#rechecking ??= recheckDue(this.#parts, this.#ctx)
      .catch((error: unknown) => this.#ctx.log.warn({ error: messageOf(error) }, 'late sessions could not be looked for'))
      .finally(() => {
        this.#rechecking = null
      })
  }

  #pause(): Promise<void> {
    const pause = new AbortController()
    this.#wake = () => pause.abort()
    return sleep(LOOK_EVERY_MS, pause.signal)
  }

  async #claimAndRun(): Promise<void> {
    const room = AT_ONCE - this.#running.size
    if (room <= 0) return
    const { store } = this.#parts
    const ids = await claim(store, room, LIMITS.leaseMs, this.#self)
    if (ids.length === 0) return
    const works = await loadWork(store, ids)
    for (const work of works) {
      const running = runRotation(this.#parts, this.#ctx, work).finally(() => {
        this.#running.delete(work.id)
        this.nudge()
      })
      this.#running.set(work.id, running)
    }
  }
}
