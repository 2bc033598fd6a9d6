import { sealEvents } from '../evidence/index.ts'
import { type Ctx, isCode, LIMITS, makeCtx, messageOf, newId, RekeyError, sleep } from '../kernel/index.ts'
import { Batcher, type Store } from '../store/index.ts'
import { freeDead, thisProcess } from './leases.ts'
import { startDue } from './rotation.actions.ts'
import { backoffMs, ENDS, MAX_TRIES, type State } from './rotation.model.ts'
import { LostClaim, type Move, type RotationParts, Run } from './rotation.run.ts'
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
/** Faults that another try cannot mend are tried a few times all the same: a root credential may be rotated at this moment. */
const TRIES_IF_HOPELESS = 3

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
  let run: Run | undefined
  try {
    run = await Run.begin(parts, ctx, work)
    for (;;) {
      const step = STEPS[run.state]
      if (step === undefined) return void (await run.commit({ dueMs: null }))
      const result = await step(run)
      if (result === 'end') return
      if (result !== 'go') return void (await run.commit({ dueMs: result.waitMs }))
    }
  } catch (error) {
    await recordPatiently(parts, ctx, run, work, error)
  }
}

/** Rekey's own database may be away for a moment (a restart): then the record of what was observed waits for it. */
async function recordPatiently(parts: RotationParts, ctx: Ctx, run: Run | undefined, work: Work, error: unknown): Promise<void> {
  for (let pauseMs = 250; ; pauseMs *= 2) {
    try {
      return await recordFault(parts, ctx, run, work, error)
    } catch (fault) {
      // Somebody else's now, or moved by a commit of ours of which no answer came: whoever claims it next finds what was written.
      if (fault instanceof LostClaim) return
      if (!isCode(fault, 'unavailable') || pauseMs > 10_000 || ctx.signal.aborted) {
        return ctx.log.warn({ rotation: work.id, error: messageOf(fault) }, 'a rotation goes on when its claim ends')
      }
      await sleep(pauseMs, ctx.signal)
    }
  }
}

/** Another try after a pause, or `blocked` with the reason and what to do. What was observed before the fault is kept. */
async function recordFault(parts: RotationParts, ctx: Ctx, run: Run | undefined, work: Work, error: unknown): Promise<void> {
  if (error instanceof LostClaim) throw error
  const fault =
    error instanceof RekeyError ? error : new RekeyError('internal', 'Rekey failed in a step of this rotation.', { cause: error })
  ctx.log.warn(
    { rotation: work.id, credential: work.credential.name, code: fault.code, error: fault.message, detail: fault.detail ?? stackOf(fault) },
    'a step failed',
  )
  if (run === undefined) return
  const { progress } = run
  // It had ended, or was blocked, and only the commit failed: once more, and not another try of a step that is done.
  if (run.state === 'blocked' || ENDS.includes(run.state)) return void (await run.commit({ dueMs: null }))
  progress.tries++
  progress.problem = { reason: fault.message, code: fault.code, ...(fault.hint ? { hint: fault.hint } : {}) }
  const most = isHopeless(fault) ? TRIES_IF_HOPELESS : MAX_TRIES
  if (progress.tries < most && fault.detail !== 'activation_patience' && fault.detail !== 'undo_unknown') {
    await run.commit({ dueMs: backoffMs(progress.tries, parts.jitter()) })
    return
  }
  progress.blocked_from = run.state as State
  progress.blocked_at = run.now()
  run.move('blocked', {
    from: progress.blocked_from,
    reason: fault.message,
    code: fault.code,
    tries: progress.tries,
    hint: fault.hint ?? null,
  })
  await run.commit({ dueMs: null })
}

function isHopeless(fault: RekeyError): boolean {
  return (
    ['target_not_authorised', 'target_conflict', 'target_unsupported', 'target_refused_by_policy', 'conflict', 'internal'] as const
  ).some((code) => isCode(fault, code))
}

function stackOf(fault: RekeyError): string | undefined {
  return fault.code === 'internal' && fault.cause instanceof Error ? fault.cause.stack : undefined
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
  readonly #stopping = new AbortController()
  /** By rotation. */
  readonly #running = new Map<string, Promise<void>>()
  #wake: () => void = () => undefined
  #woken = false
  #loop: Promise<void> = Promise.resolve()
  #unlisten: () => Promise<void> = async () => undefined
  readonly #self = `${thisProcess()}#${++workers}`

  constructor(parts: RotationParts, ctx: Ctx) {
    this.#parts = parts
    this.#ctx = makeCtx(`worker:${newId()}`, ctx.requestId, { signal: this.#stopping.signal, clock: ctx.clock, log: ctx.log })
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
    await Promise.allSettled(this.#running.values())
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
