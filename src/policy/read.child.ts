/** The process that reads policies which somebody wrote, and asks them: Cedar may fail in it as it likes. */
import { hear, makeCtx, RekeyError, say, traceOf } from '../kernel/index.ts'
import { Policies } from './engine.ts'
import type { ReadJob, ReadWord } from './read.wire.ts'
import { readPolicies, rereadPolicies } from './set.ts'

/** Policies in one part: taking one keeps the server from other work for a few milliseconds. */
const PART = 200

const tell = (word: ReadWord) => say(word)

function work({ files, isChecked, asks, now }: ReadJob): void {
  const set = isChecked ? rereadPolicies(files) : readPolicies(files)
  // Prepared in any case: a set that could be read and not be put in force is refused here.
  const policies = new Policies(set)
  const ctx = makeCtx('policies', 'policies')
  const still = { ...ctx, clock: { ...ctx.clock, now: () => now } }
  tell({ answers: asks.map(([who, action]) => policies.explain(still, who, action).allowed) })
  if (!isChecked) for (let at = 0; at < set.policies.length; at += PART) tell({ policies: set.policies.slice(at, at + PART) })
  tell({ typesNamed: set.typesNamed })
}

try {
  work(hear() as ReadJob)
} catch (error) {
  if (error instanceof RekeyError && error.code === 'policy_invalid') tell({ message: error.message, faults: error.faults })
  else if (error instanceof Error && (error.name === 'RuntimeError' || error instanceof RangeError)) tell({ trapped: traceOf(error) })
  else tell({ died: traceOf(error) })
}
