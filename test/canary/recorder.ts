/** What the product has generated or sealed in this test process, kept in memory only, so that it can be looked for afterwards. */
import type { Secret } from '../../src/kernel/index.ts'
import { isFindable, type Needle, Scanner } from './scanner.ts'

/** A file's tests may clear the module cache: the record outlives the module. */
const PLACE = Symbol.for('rekey canary')
const shared = globalThis as { [PLACE]?: Map<string, Needle> }
shared[PLACE] ??= new Map()
const recorded: Map<string, Needle> = shared[PLACE]

/** Keeps a copy of the value and hands the secret on. */
export function record(kind: string, secret: Secret, random: boolean): Secret {
  secret.reveal((bytes) => {
    if (!isFindable(bytes)) return
    const name = Buffer.from(bytes).toString('latin1')
    if (!recorded.has(name)) recorded.set(name, { kind, bytes: Uint8Array.from(bytes), random })
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
