import type { Target } from '../connectors/contract.ts'
import { sleep } from '../kernel/index.ts'

/**
 * How long an install waits for the files of the one before it, milliseconds. A system that hangs must not make its installs wait for
 * one another: each would only reach its own deadline later, and its claim would grow old.
 */
const PATIENCE_MS = 500

/**
 * In-place installs under way on one system at once. One alone made the gap no shorter than two and held back the others: a rotation
 * then took as long as its gap.
 */
const AT_ONCE = 2

/** By system: the turns that have not ended. */
const turns = new WeakMap<Target, Set<Promise<void>>>()

/**
 * Waits for a turn to make an in-place install on this system, and resolves with what ends the turn. The old value is dead from the
 * install on, so until the files are placed every further install on the same server is in the way of that: with eight at once the gap
 * was more than twice as long (bench/gap.ts). Only installs take turns; logins, proofs and commits of other rotations fill the time.
 * Per process: a second worker's installs are few beside one's own.
 */
export async function installTurn(target: Target): Promise<() => void> {
  const open = turns.get(target) ?? new Set()
  turns.set(target, open)
  if (open.size >= AT_ONCE) {
    const waiting = new AbortController()
    const patience = sleep(PATIENCE_MS, waiting.signal).then(() => 'over')
    while (open.size >= AT_ONCE && (await Promise.race([patience, ...open])) !== 'over');
    waiting.abort()
  }
  let end = () => {}
  const turn = new Promise<void>((resolve) => {
    end = resolve
  })
  open.add(turn)
  return () => {
    open.delete(turn)
    end()
  }
}
