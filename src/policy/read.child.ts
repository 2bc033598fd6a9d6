/** The process that reads policies which somebody wrote, and asks them: Cedar may fail in it as it likes. */
import { hear, makeCtx, RekeyError, say, traceOf } from '../kernel/index.ts'
import { Policies } from './engine.ts'
import type { ReadJob, ReadWord } from './read.wire.ts'
import { readPolicies, rereadPolicies } from './set.ts'

/** Policies in one part: taking one keeps the server from other work for a few milliseconds. */
const PART = 200

const tell = (word: ReadWord) => say(word)

function work({ files, asks, now }: ReadJob): void {
  if (asks !== null) {
    const policies = new Policies(rereadPolicies(files))
    const ctx = makeCtx('policies', 'policies')
    const still = { ...ctx, clock: { ...ctx.clock, now: () => now } }
    tell({ answers: asks.map(([who, action]) => policies.explain(still, who, action).allowed) })
    return
  }
  const { policies, typesNamed } = readPolicies(files)
  // What asks them is prepared as well: a set that could be read and not be put in force is refused here.
  new Policies({ files, policies, typesNamed })
  for (let at = 0; at < policies.length; at += PART) tell({ policies: policies.slice(at, at + PART) })
  tell({ typesNamed })
}

try {
  work(hear() as ReadJob)
} catch (error) {
  if (error instanceof RekeyError && error.code === 'policy_invalid') tell({ message: error.message, faults: error.faults })
  else if (error instanceof Error && (error.name === 'RuntimeError' || error instanceof RangeError)) tell({ trapped: traceOf(error) })
  else tell({ died: traceOf(error) })
}
