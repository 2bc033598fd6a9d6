import { type Ctx, makeCtx, messageOf, newId, RekeyError, sleep } from '../kernel/index.ts'
import { thisProcess } from './leases.ts'

/** How often the rows are looked at without a nudge: pauses and leases that end, schedules. */
const LOOK_EVERY_MS = 1_000
/** How long running steps may take to finish when it stops; then their calls are cut, and found open at the next start. */
const STOP_PATIENCE_MS = 8_000

/** Reconcilers of this process so far; each claims under a name of its own. */
let reconcilers = 0

/**
 * The loop of a reconciler. It takes no input: it looks at the rows, claims what is due, and runs it; a nudge only makes it look sooner.
 * Any number may run on one database. `stop` lets running steps finish and leaves the rest to whoever comes next.
 */
export abstract class Reconciler<W extends { readonly id: string }> {
  protected readonly ctx: Ctx
  /** Under which name claims are made. */
  protected readonly self = `${thisProcess()}#${++reconcilers}`
  /** No new work. */
  readonly #stopping = new AbortController()
  /** No more waiting for calls. */
  readonly #cut = new AbortController()
  /** By the id of what was claimed. */
  readonly #running = new Map<string, Promise<void>>()
  #wake: () => void = () => undefined
  #woken = false
  #loop: Promise<void> = Promise.resolve()
  #unlisten: (() => Promise<void>)[] = []

  constructor(ctx: Ctx) {
    this.ctx = makeCtx(`worker:${newId()}`, ctx.requestId, { signal: this.#cut.signal, clock: ctx.clock, log: ctx.log })
  }

  /** Begins to be nudged, where there is something that nudges. */
  protected abstract listen(onNudge: () => void): Promise<(() => Promise<void>)[]>
  /** What is done once in each look without a nudge, before anything is claimed. `running`: what this one has claimed. */
  protected abstract chores(running: readonly string[]): Promise<void>
  /** Claims up to `room` of what is due, and loads it. */
  protected abstract claim(room: number): Promise<readonly W[]>
  /** Runs what was claimed until it ends or has to wait. Never rejects. */
  protected abstract run(work: W): Promise<void>
  /** Frees what this one still holds, so that another may take it at once. Called once nothing runs any more. */
  protected abstract release(): Promise<void>
  /** How many run at once. */
  protected abstract readonly atOnce: number
  /** For the log, when a look failed. */
  protected abstract readonly trouble: string

  /** One look at the rows. */
  protected async look(): Promise<void> {
    await this.#claimAndRun()
  }

  /** How long until the next look, if no nudge comes. */
  protected pauseMs(): number {
    return LOOK_EVERY_MS
  }

  protected get idle(): boolean {
    return this.#running.size === 0
  }

  async start(): Promise<void> {
    this.#unlisten = await this.listen(() => this.nudge())
    this.#loop = this.#lookOn()
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
    await this.release()
    clearTimeout(patience)
    for (const unlisten of this.#unlisten.splice(0)) await unlisten()
  }

  async #lookOn(): Promise<void> {
    const { clock, log } = this.ctx
    let nextChoresMs = 0
    while (!this.#stopping.signal.aborted) {
      this.#woken = false
      try {
        if (clock.monotonicMs() >= nextChoresMs) {
          nextChoresMs = clock.monotonicMs() + LOOK_EVERY_MS
          await this.chores([...this.#running.keys()])
        }
        await this.look()
      } catch (error) {
        log.warn({ error: messageOf(error), detail: error instanceof RekeyError ? error.detail : undefined }, this.trouble)
      }
      if (!this.#woken) await this.#pause()
    }
  }

  #pause(): Promise<void> {
    const pause = new AbortController()
    this.#wake = () => pause.abort()
    return sleep(this.pauseMs(), pause.signal)
  }

  async #claimAndRun(): Promise<void> {
    const room = this.atOnce - this.#running.size
    if (room <= 0) return
    for (const work of await this.claim(room)) {
      const running = this.run(work).finally(() => {
        this.#running.delete(work.id)
        this.nudge()
      })
      this.#running.set(work.id, running)
    }
  }
}
