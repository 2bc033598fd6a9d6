import type { Ctx } from '../kernel/index.ts'

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
