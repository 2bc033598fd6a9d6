/** What the product has generated or sealed in this test process, kept in memory only, so that it can be looked for afterwards. */
import type { Secret } from '../../src/kernel/index.ts'
import { describeFinds, isFindable, type Needle, Scanner } from './scanner.ts'

/** A file's tests may clear the module cache: the record outlives the module. */
const PLACE = Symbol.for('rekey canary')
const shared = globalThis as { [PLACE]?: Map<string, Needle> }
shared[PLACE] ??= new Map()
const recorded: Map<string, Needle> = shared[PLACE]

/**
 * A test with ten thousand credentials makes the same thing ten thousand times over: of each kind the first thousand are looked for.
 * Patterns for all 40,000 values took 24 s to make and match; these take about a second.
 */
const MOST_OF_A_KIND = 1_000
const counts = new Map<string, number>()

/** Keeps a copy of the value and hands the secret on. */
export function record(kind: string, secret: Secret, random: boolean): Secret {
  if ((counts.get(kind) ?? 0) >= MOST_OF_A_KIND) return secret
  secret.reveal((bytes) => {
    if (!isFindable(bytes)) return
    const name = Buffer.from(bytes).toString('latin1')
    if (recorded.has(name)) return
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
    recorded.set(name, { kind, bytes: Uint8Array.from(bytes), random })
  })
  return secret
}

/** How many different values were recorded. */
export function recordedCount(): number {
  return recorded.size
}

/** A scanner for all that was recorded so far. */
export function recordedScanner(): Scanner {
  return new Scanner(recorded.values())
}

/** Files whose purpose is to hold a secret: keys, tokens, what consumers read and operators wrote. */
const KEEPERS = /\/kek\/|\.(env|secret|token|key|value|rekey-new)$/

/** Throws if a file that the tests left in `folder` has a recorded secret in the clear, and is none of those that should. */
export function checkLeftovers(folder: string): void {
  const { finds } = recordedScanner().folder(folder, (path) => !KEEPERS.test(path))
  if (finds.length > 0) throw new Error(`left by the tests of this file: ${describeFinds(finds)}`)
}
