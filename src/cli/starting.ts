/** Tells people what a start is doing where it takes long: the first one makes a database, a later one may wait for somebody else. */
import { sleep } from '../kernel/index.ts'
import type { Starting } from '../main.ts'

/** A start on an existing folder takes about a second, so it says nothing. */
const SLOW_MS = 3_000
/** How often it is said again that the same step still goes on. */
const AGAIN_MS = 15_000

/** Lines of a start. A step that is done in less than `slowMs` is not told, unless it is known to be slow. */
export function tellStart(say: (line: string) => void, warn: (text: string) => void, slowMs = SLOW_MS, againMs = AGAIN_MS): Starting {
  let step = new AbortController()
  const repeat = async (what: string, firstMs: number, { signal }: AbortController) => {
    for (let waitMs = firstMs; ; waitMs = againMs) {
      await sleep(waitMs, signal)
      if (signal.aborted) return
      say(`rekey: still ${what}`)
    }
  }
  const end = () => step.abort()
  return {
    step(what, isSlow = false) {
      end()
      step = new AbortController()
      if (isSlow) say(`rekey: ${what} (some seconds)`)
      void repeat(what, isSlow ? againMs : slowMs, step)
    },
    warn,
    end,
  }
}
