/** What the process that reads policies and the one that started it tell each other. */
import type { RekeyError } from '../kernel/index.ts'
import type { Action } from './actions.ts'
import type { Principal } from './model.ts'
import type { Policy, PolicyFile } from './set.model.ts'

/** Whether somebody may do something to the installation as a whole. */
export type Ask = readonly [who: Principal, action: Action]

/** What the child is given. */
export interface ReadJob {
  readonly files: readonly PolicyFile[]
  /** True: they were checked before, and only what is asked is of interest. */
  readonly isChecked: boolean
  /** True: they are not in force yet, so that what Cedar cannot decide by them is found (`tryPolicies`). */
  readonly isTried: boolean
  /** What is asked of them once they are read. */
  readonly asks: readonly Ask[]
  /** The time at which it is asked. */
  readonly now: Date
}

/** What it says: the policies in parts and that there are no more; what was decided; what is wrong; or that it failed itself. */
export type ReadWord =
  | { readonly policies: readonly Policy[] }
  | { readonly typesNamed: ReadonlySet<string> }
  | { readonly answers: readonly boolean[] }
  | { readonly message: string; readonly faults: RekeyError['faults'] }
  | { readonly trapped: string }
  | { readonly died: string }
