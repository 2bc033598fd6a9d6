import type { RotationView, Started } from '../credential/index.ts'
import { RekeyError, sleep } from '../kernel/index.ts'
import type { Cli } from './cli.ts'
import type { Client } from './client.ts'
import { EXIT, NoServer } from './exit.ts'
import { rotationPath } from './ids.ts'
import { type Count, type Display, openDisplay } from './progress.ts'
import { exitOfStates, finishedObject } from './views.ts'

const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 5_000
/** Between looks at rotations of other batches. */
const OTHERS_PAUSE_MS = 1_000
/** How long a server may be away before waiting for it is given up. */
const PATIENCE_MS = 15 * 60_000
/** States that need no more waiting. */
const FINISHED: ReadonlySet<string> = new Set([
  'proven_dead',
  'not_provable',
  'irrevocable',
  'undone',
  'taken_over',
  'blocked',
] satisfies RotationView['state'][])

/**
 * Waits until every rotation of the batch has ended or is blocked, and prints each as it does; then the same for those that were under
 * way or blocked before and for which nothing was started, since their old values were meant too. Resolves with the exit status; Ctrl-C
 * ends only the waiting. A lost connection is made again; throws `NoServer` after 15 minutes without one, or what the server refuses with.
 */
export async function waitForBatch(cli: Cli, started: Started): Promise<number> {
  const client = await cli.client()
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal)
  const display = openDisplay(cli.out, cli.clock, started.rotations.length, finishedObject)
  const wait = new Wait(client, started, display, stop.signal)
  try {
    await wait.untilDone(cli)
  } finally {
    display.close()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal)
  }
  if (wait.missing() + wait.others() > 0) {
    cli.out.note(`rekey: stopped waiting; the rotations go on. See: rekey rotation list --batch ${started.batch}`)
    return EXIT.interrupted
  }
  return exitOfStates(wait.states())
}

/** What is known of a batch across connections. */
class Wait {
  readonly #client: Client
  readonly #started: Started
  readonly #display: Display
  readonly #signal: AbortSignal
  readonly #ended = new Map<string, RotationView['state']>()

  constructor(client: Client, started: Started, display: Display, signal: AbortSignal) {
    this.#client = client
    this.#started = started
    this.#display = display
    this.#signal = signal
  }

  missing(): number {
    return this.#started.rotations.filter(({ rotation }) => !this.#ended.has(rotation)).length
  }

  /** How many of those that were there before have not ended. */
  others(): number {
    return this.#started.skipped.filter(({ rotation }) => !this.#ended.has(rotation)).length
  }

  states(): Iterable<RotationView['state']> {
    return this.#ended.values()
  }

  async untilDone(cli: Cli): Promise<void> {
    await this.#untilBatchDone(cli)
    await this.#untilOthersDone(cli)
  }

  /** They are of other batches, so each is asked for: one at a time, as the events are only of this batch. */
  async #untilOthersDone({ clock }: Cli): Promise<void> {
    let heardMs = clock.monotonicMs()
    while (this.others() > 0 && !this.#signal.aborted) {
      try {
        for (const { rotation } of this.#started.skipped) {
          if (this.#ended.has(rotation)) continue
          const view = await this.#client.get<RotationView>(rotationPath(rotation))
          if (FINISHED.has(view.state)) this.#finish(view)
          heardMs = clock.monotonicMs()
        }
      } catch (error) {
        if (!isPassing(error) || clock.monotonicMs() - heardMs > PATIENCE_MS) throw error
        this.#display.note('the connection to the server was lost, trying again')
      }
      if (this.others() > 0) await sleep(OTHERS_PAUSE_MS, this.#signal)
    }
  }

  async #untilBatchDone({ clock }: Cli): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS
    let awaySinceMs = clock.monotonicMs()
    while (this.missing() > 0 && !this.#signal.aborted) {
      const openedMs = clock.monotonicMs()
      try {
        for await (const { event, data } of this.#client.events(`/v1/batches/${this.#started.batch}/events`, this.#signal)) {
          pauseMs = FIRST_PAUSE_MS
          awaySinceMs = clock.monotonicMs()
          if (await this.#take(event, data)) return
        }
      } catch (error) {
        const now = clock.monotonicMs()
        // A stream that stood for a while was a server, even if there was nothing to say but heartbeats.
        if (now - openedMs > LONGEST_PAUSE_MS) awaySinceMs = now
        if (!isPassing(error) || now - awaySinceMs > PATIENCE_MS) throw error
        this.#display.note('the connection to the server was lost, trying again')
      }
      if (this.missing() > 0) await sleep(pauseMs, this.#signal)
      pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2)
    }
  }

  /** True when nothing is left to wait for. */
  async #take(event: string, data: string): Promise<boolean> {
    if (event === 'progress') this.#display.counts((JSON.parse(data) as { counts: Count[] }).counts)
    if (event === 'rotation') this.#finish(JSON.parse(data) as RotationView)
    if (event === 'done') {
      if (this.missing() > 0) await this.#askForMissing()
      return this.missing() === 0
    }
    return false
  }

  #finish(view: RotationView): void {
    if (this.#ended.has(view.rotation)) return
    this.#ended.set(view.rotation, view.state)
    this.#display.finished(view)
  }

  /** The end of a batch may come with a rotation unsaid, if a blocked one was tried again in between: the list knows. */
  async #askForMissing(): Promise<void> {
    for await (const view of this.#client.items<RotationView>('/v1/rotations', { batch: this.#started.batch })) {
      if (FINISHED.has(view.state)) this.#finish(view)
    }
  }
}

/** Whether trying again can help. */
function isPassing(error: unknown): boolean {
  if (error instanceof NoServer) return true
  return error instanceof RekeyError && ['unavailable', 'database_failed', 'too_many_requests'].includes(error.code)
}
