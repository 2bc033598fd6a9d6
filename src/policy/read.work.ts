/** What the process that reads policies does. */
import { makeCtx, RekeyError, traceOf } from '../kernel/index.ts'
import { ON_TRIAL } from './cedar.bench.ts'
import { Policies } from './engine.ts'
import type { ReadJob, ReadWord } from './read.wire.ts'
import type { PolicyFile } from './set.model.ts'
import { type PolicySet, readPolicies, rereadPolicies } from './set.ts'
import { Ruined, tryPolicies } from './trial.ts'

/** Policies in one part: taking one keeps the server from other work for a few milliseconds. */
const PART = 200

function work(
  { files, isChecked, isTried, asks, now }: ReadJob,
  tell: (word: ReadWord) => void,
  read: (files: readonly PolicyFile[], isInForce: boolean) => PolicySet,
): void {
  const set = isChecked ? rereadPolicies(files) : read(files, !isTried)
  // Prepared in any case: a set that could be read and not be put in force is refused here.
  const policies = new Policies(set)
  if (isTried) tryPolicies(set.policies, ON_TRIAL)
  const ctx = makeCtx('policies', 'policies')
  const still = { ...ctx, clock: { ...ctx.clock, now: () => now } }
  tell({ answers: asks.map(([who, action]) => policies.explain(still, who, action).allowed) })
  if (!isChecked) for (let at = 0; at < set.policies.length; at += PART) tell({ policies: set.policies.slice(at, at + PART) })
  tell({ typesNamed: set.typesNamed })
}

/** Reads and asks, and tells what came of it; throws nothing. `read`: tests let through what no set may hold. */
export function workOn(job: ReadJob, tell: (word: ReadWord) => void, read = readPolicies): void {
  try {
    work(job, tell, read)
  } catch (error) {
    if (error instanceof RekeyError && error.code === 'policy_invalid') tell({ message: error.message, faults: error.faults })
    else if (isTrap(error)) tell({ trapped: traceOf(error) })
    else tell({ died: traceOf(error) })
  }
}

function isTrap(error: unknown): boolean {
  return error instanceof Ruined || error instanceof RangeError || (error instanceof Error && error.name === 'RuntimeError')
}
