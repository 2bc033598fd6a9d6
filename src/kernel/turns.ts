import type { Clock } from './clock.ts'

/** Work of this length is not felt by those who wait; a turn of the event loop costs about a hundredth of it. */
const TURN_MS = 10

/**
 * As `items.map(use)`, but after every 10 ms of it whatever else the process has to do gets its turn. For work that cannot leave the
 * thread and grows with the fleet. What was started goes on to its end: there is nothing to abort between two items.
 */
export async function mapInTurns<T, R>(clock: Clock, items: readonly T[], use: (item: T) => R): Promise<R[]> {
  const results: R[] = []
  let sinceMs = clock.monotonicMs()
  for (const item of items) {
    if (clock.monotonicMs() - sinceMs > TURN_MS) {
      await new Promise(setImmediate)
      sinceMs = clock.monotonicMs()
    }
    results.push(use(item))
  }
  return results
}
