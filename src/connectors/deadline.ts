import { type Ctx, RekeyError } from '../kernel/index.ts'

/** How long a polite goodbye may take before the socket is destroyed. */
export const GOODBYE_MS = 500

/** What a caller gets when its deadline passed or nobody waits any more. `system`: what it is called in errors. */
export function gaveUp(system: string): RekeyError {
  return new RekeyError('target_unreachable', `${system} did not answer in time.`, { detail: 'deadline' })
}

/** Runs `work` with a signal that aborts after `ms`, or when `ctx` does. The timer is gone when it settles. */
export async function withDeadline<T>(ctx: Ctx, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const abort = () => stop.abort()
  const timer = setTimeout(abort, ms)
  ctx.signal.addEventListener('abort', abort, { once: true })
  if (ctx.signal.aborted) abort()
  try {
    return await work(stop.signal)
  } finally {
    clearTimeout(timer)
    ctx.signal.removeEventListener('abort', abort)
  }
}
