import { useSyncExternalStore } from 'react'

const EVERY_MS = 30_000
let nowMs = Date.now()

function subscribe(changed: () => void): () => void {
  const timer = setInterval(() => {
    nowMs = Date.now()
    changed()
  }, EVERY_MS)
  return () => clearInterval(timer)
}

/** The present moment, ms since 1970, anew twice a minute. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => nowMs)
}
