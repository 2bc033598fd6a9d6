/** Server-sent events of batches: one look at the database for all streams of this process. */
import { type BatchCount, countBatches, finishedOfBatches, isFinished, NUDGE, type RotationView } from '../credential/index.ts'
import { type Ctx, isCode, type Json, messageOf, RekeyError, sleep } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'

/** How often the rows are looked at while anybody follows. Steps of workers send no notice: at each commit it would cost more than this. */
const LOOK_EVERY_MS = 250
/** Proxies and clients take silence for death. */
const HEARTBEAT_MS = 15_000
/** A reader that takes nothing for this long is cut off; it may come back and is told what it missed. */
const SLOW_MS = 60_000
const UNLISTEN_MS = 2_000
/** How old the proof of a reader may be when something is told, and when nothing is: a token that was revoked ends its streams. */
const PROVEN_MS = 1_000
const PROVEN_QUIET_MS = 5_000
/** Readers that are looked at together. */
const PROVED_AT_ONCE = 10
/** Streams of one token at one server. */
const STREAMS_MAX = 100

/** One event as the HTML standard's section 9.2.5 writes it. JSON has no line breaks, so one `data` line carries it. */
export function eventText(event: string, data: Json | object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/** How a stream ends before its batch does. */
export interface StreamEnds {
  /** Called if the reader takes nothing for a minute. */
  readonly cut?: () => void
  /** Asked again and again, at most a second before anything is told: false ends the stream. */
  readonly still?: () => Promise<boolean>
}

/** One who follows a batch. */
interface Follower {
  readonly batch: string
  readonly token: string
  /** Rotations that were told as ended or blocked. */
  readonly told: Set<string>
  /** The counts that were told last, as text. */
  before: string
  /** Texts that were not taken yet: the same strings for all who follow the batch. */
  readonly texts: string[]
  /** Told `done`, or cut off: no more texts will come. */
  over: boolean
  /** Since when the reader has not taken what is ready, by the monotonic clock; null while it waits for us. */
  stuckMs: number | null
  /** Wakes the generator. */
  wake: () => void
  /** Ends a stream whose reader may never take anything again. */
  cut: () => void
  /** Whether the reader's proof still counts, and still lets it follow. */
  readonly still: () => Promise<boolean>
  /** When it was seen to, by the monotonic clock. */
  provenMs: number
  failure: unknown
}

/**
 * All event streams of one server. However many there are and whatever they follow, the database is asked by one of them: a poll of
 * each stream for itself (before) cost as many questions every 250 ms as there were streams.
 */
export class BatchWatch {
  readonly #store: Pick<Store, 'query' | 'listen'>
  readonly #ctx: Ctx
  readonly #followers = new Set<Follower>()
  #looking: Promise<void> | null = null
  #unlisten: Promise<() => Promise<void>> | null = null
  #woken = new AbortController()
  #closed = false

  constructor(store: Pick<Store, 'query' | 'listen'>, ctx: Ctx) {
    this.#store = store
    this.#ctx = ctx
  }

  /**
   * The events of a batch until none of its rotations runs: `progress` whenever the counts changed, `rotation` once for each that
   * ended or is blocked, then `done`. Ends early when `ctx.signal` aborts, and as `ends` says. While the database is away only heartbeats
   * come. Throws `too_many_requests` if the token follows too many already.
   */
  follow(ctx: Ctx, token: string, batch: string, ends: StreamEnds = {}): AsyncGenerator<string> {
    const streams = [...this.#followers].filter((one) => one.token === token).length
    if (streams >= STREAMS_MAX) {
      throw new RekeyError('too_many_requests', `This token follows ${STREAMS_MAX} event streams already.`, {
        hint: 'End one of them, or look at rekey rotation list.',
      })
    }
    const { cut = () => undefined, still = async () => true } = ends
    const proof = { still, provenMs: this.#ctx.clock.monotonicMs() }
    const fresh = { told: new Set<string>(), before: '', texts: [], over: false, stuckMs: null, wake: () => undefined, failure: null }
    const follower: Follower = { batch, token, cut, ...proof, ...fresh }
    // Counted from here on, not from when the answer is read: many requests at one moment must not pass the bound together.
    this.#followers.add(follower)
    ctx.signal.addEventListener('abort', () => this.#leave(follower), { once: true })
    if (ctx.signal.aborted) this.#leave(follower)
    this.#nudge()
    this.#start()
    return this.#read(follower)
  }

  /** Ends every stream and stops looking. */
  async close(): Promise<void> {
    this.#closed = true
    for (const follower of this.#followers) this.#leave(follower)
    await this.#looking
    await this.#stopListening()
  }

  async *#read(follower: Follower): AsyncGenerator<string> {
    try {
      yield* this.#given(follower, ': stream of a batch\n\n')
      let quietSinceMs = this.#ctx.clock.monotonicMs()
      for (;;) {
        for (let text = follower.texts.shift(); text !== undefined; text = follower.texts.shift()) {
          yield* this.#given(follower, text)
          quietSinceMs = this.#ctx.clock.monotonicMs()
        }
        if (follower.failure !== null) throw follower.failure
        if (follower.over) return
        await new Promise<void>((resolve) => {
          follower.wake = resolve
        })
        if (follower.texts.length === 0 && this.#ctx.clock.monotonicMs() - quietSinceMs >= HEARTBEAT_MS) {
          yield* this.#given(follower, ': \n\n')
          quietSinceMs = this.#ctx.clock.monotonicMs()
        }
      }
    } finally {
      this.#leave(follower)
    }
  }

  /** Notes since when the reader is waited for: `yield` returns when it asks for more. */
  *#given(follower: Follower, text: string): Generator<string> {
    follower.stuckMs = this.#ctx.clock.monotonicMs()
    yield text
    follower.stuckMs = null
  }

  #leave(follower: Follower): void {
    this.#followers.delete(follower)
    follower.over = true
    follower.wake()
    if (this.#followers.size === 0) this.#nudge()
  }

  #nudge(): void {
    this.#woken.abort()
  }

  #start(): void {
    if (this.#looking !== null || this.#followers.size === 0 || this.#closed) return
    this.#looking = this.#look().finally(() => {
      this.#looking = null
      // Somebody may have come while the last one's listener was ended.
      this.#start()
    })
  }

  /** Looks while anybody follows. Never rejects. */
  async #look(): Promise<void> {
    while (this.#followers.size > 0 && !this.#closed) {
      this.#woken = new AbortController()
      this.#cutSlow()
      this.#listen()
      await this.#once()
      await this.#endRefused([...this.#followers], PROVEN_QUIET_MS).catch((error: unknown) => this.#failed(error))
      for (const follower of this.#followers) follower.wake()
      if (this.#followers.size > 0) await sleep(LOOK_EVERY_MS, this.#woken.signal)
    }
    await this.#stopListening()
  }

  #cutSlow(): void {
    const nowMs = this.#ctx.clock.monotonicMs()
    for (const follower of this.#followers) {
      if (follower.stuckMs === null || nowMs - follower.stuckMs < SLOW_MS) continue
      this.#ctx.log.warn({ batch: follower.batch, waiting: follower.texts.length }, 'a reader of events was too slow and is cut off')
      follower.texts.length = 0
      this.#leave(follower)
      follower.cut()
    }
  }

  /** One question for all that is followed, and one more for the batches in which something changed. */
  async #once(): Promise<void> {
    const byBatch = Map.groupBy(
      [...this.#followers].filter(({ over }) => !over),
      ({ batch }) => batch,
    )
    if (byBatch.size === 0) return
    try {
      // Counts first: a rotation that ends between the two reads is told now and counted in the next round, never the other way round.
      const counts = await countBatches(this.#store, [...byBatch.keys()])
      const texts = new Map([...byBatch.keys()].map((batch) => [batch, JSON.stringify(counts.get(batch) ?? [])]))
      const changed = [...byBatch].filter(([batch, followers]) => followers.some(({ before }) => before !== texts.get(batch)))
      if (changed.length === 0) return
      const known = changed.flatMap(([, followers]) => knownToAll(followers))
      const finished = await finishedOfBatches(
        this.#store,
        changed.map(([batch]) => batch),
        known,
      )
      // Before anything is told, and after it was read: nothing that happened after a proof's end is told to its holder.
      await this.#endRefused(
        changed.flatMap(([, followers]) => followers),
        PROVEN_MS,
      )
      for (const [batch, followers] of changed) tell(followers, texts.get(batch) ?? '', counts.get(batch) ?? [], finished.get(batch) ?? [])
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    if (isCode(error, 'unavailable')) {
      this.#ctx.log.warn({ streams: this.#followers.size, error: messageOf(error) }, 'event streams wait for the database')
      return
    }
    for (const follower of this.#followers) {
      follower.failure = error
      this.#leave(follower)
    }
  }

  /** Ends the streams of readers whose proof, last looked at so long ago, counts no more. */
  async #endRefused(followers: readonly Follower[], olderMs: number): Promise<void> {
    const nowMs = this.#ctx.clock.monotonicMs()
    const due = followers.filter(({ over, provenMs }) => !over && nowMs - provenMs >= olderMs)
    for (let at = 0; at < due.length; at += PROVED_AT_ONCE) {
      await Promise.all(
        due.slice(at, at + PROVED_AT_ONCE).map(async (follower) => {
          if (await follower.still()) {
            follower.provenMs = nowMs
            return
          }
          follower.texts.length = 0
          this.#leave(follower)
        }),
      )
    }
  }

  /** A notice only makes it look sooner, so its loss does not matter; while nobody follows it would hold a connection for nothing. */
  #listen(): void {
    if (this.#unlisten !== null) return
    const unlisten = this.#store.listen(NUDGE, () => this.#nudge())
    this.#unlisten = unlisten
    unlisten.catch(() => {
      if (this.#unlisten === unlisten) this.#unlisten = null
    })
  }

  /** Not waited for without end: a database that is away may not even refuse the connection. */
  async #stopListening(): Promise<void> {
    const unlisten = this.#unlisten
    this.#unlisten = null
    if (unlisten === null) return
    const timer = new AbortController()
    const stopped = unlisten.then((stop) => stop()).catch(() => undefined)
    await Promise.race([stopped, sleep(UNLISTEN_MS, timer.signal)])
    timer.abort()
  }
}

function knownToAll(followers: readonly Follower[]): string[] {
  const [first, ...others] = followers
  return [...(first?.told ?? [])].filter((id) => others.every(({ told }) => told.has(id)))
}

/** Each gets what is new to it; the texts are made once. */
function tell(followers: readonly Follower[], countsText: string, counts: readonly BatchCount[], finished: readonly RotationView[]): void {
  const progress = eventText('progress', { counts })
  const ended = finished.map((view) => ({ id: view.rotation, text: eventText('rotation', view) }))
  const done = counts.every(({ state }) => isFinished(state))
  for (const follower of followers) {
    if (follower.before === countsText || follower.over) continue
    follower.before = countsText
    follower.texts.push(progress)
    for (const { id, text } of ended) {
      if (follower.told.has(id)) continue
      follower.told.add(id)
      follower.texts.push(text)
    }
    if (!done) continue
    follower.texts.push(eventText('done', {}))
    follower.over = true
  }
}
