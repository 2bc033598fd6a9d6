/**
 * The only reader of the time. Wall time is for people and evidence; monotonic time is for deadlines and leases, since a clock jump
 * cannot move it.
 */
export interface Clock {
  /** Wall time, milliseconds resolution. */
  now(): Date
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
}

/** Resolves after `ms` milliseconds; at once when `signal` aborts (it does not reject: the caller looks at its signal). */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done, { once: true })
  })
}
