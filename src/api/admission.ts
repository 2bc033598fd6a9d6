/** Who asks, from the headers to the act: what was decided before a body had come is not what acts after it. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Clock, RekeyError } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import { StatusError } from './errors.ts'

/** For so long an admission counts without a second look, milliseconds: most requests need none, and a revocation is at work within it. */
export const ADMITTED_MS = 100

/** What an admission is made of. */
export interface Admitting<Who> {
  readonly clock: Clock
  readonly who: Who
  /** Asks once more, by what the request came with. Throws what the first question would throw. */
  readonly again: () => Promise<Who>
  /** Whether both may exactly the same. */
  readonly alike: (one: Who, other: Who) => boolean
}

/** One request that was let in. */
export class Admission<Who> {
  readonly #clock: Clock
  readonly #again: () => Promise<Who>
  readonly #alike: (one: Who, other: Who) => boolean
  #who: Who
  #atMs: number

  constructor({ clock, who, again, alike }: Admitting<Who>) {
    this.#clock = clock
    this.#again = again
    this.#alike = alike
    this.#who = who
    this.#atMs = clock.monotonicMs()
  }

  /** Who asks, as it is now: asked again if the last answer is older than `ADMITTED_MS`. Throws if they may no more. */
  async now(): Promise<Who> {
    if (this.#clock.monotonicMs() - this.#atMs > ADMITTED_MS) {
      this.#who = await this.#again()
      this.#atMs = this.#clock.monotonicMs()
    }
    return this.#who
  }

  /**
   * The store for what this request does: until a transaction of it is committed, each begins only if `who`, for whom everything was
   * decided, still may exactly that. Parsing, queues and answers of others can take long before it. What comes after the first commit
   * finishes what has begun, so nothing stops it.
   */
  storeFor(store: Store, who: Who): Store {
    let begun = false
    return {
      query: (text, params) => store.query(text, params),
      inTx: async (use) => {
        if (!begun && !this.#alike(await this.now(), who)) {
          throw new RekeyError('forbidden', 'What you may do has changed while this was under way; nothing was done.', {
            hint: 'Ask again.',
          })
        }
        const result = await store.inTx(use)
        begun = true
        return result
      },
      listen: (channel, onNotice) => store.listen(channel, onNotice),
      onConnection: (use) => store.onConnection(use),
      close: () => store.close(),
    }
  }
}

/** What a request for a small body may hold, bytes, and how long that may take: 13 kB/s, which a phone at the edge of its net has. */
const SMALL_BYTES = 256 * 1024
const SMALL_MS = 20_000
/** The answer to a body that does not come (RFC 9110 section 15.5.9). */
export const TOO_LATE = 408

/** Waits no longer for a small body than it needs; larger ones have the server's own bound. */
export function boundBody({ raw }: FastifyRequest, reply: FastifyReply, bodyBytes: number): void {
  if (bodyBytes > SMALL_BYTES || raw.complete) return
  const timer = setTimeout(() => {
    // Whoever reads the body hears of it as of a broken connection, and answers; where nobody reads, nobody waits.
    if (!raw.complete && raw.listenerCount('error') > 0) raw.emit('error', new StatusError(TOO_LATE, 'bad_input', 'The body did not come.'))
  }, SMALL_MS)
  const stop = () => clearTimeout(timer)
  raw.once('end', stop)
  reply.raw.once('close', stop)
}
