import { isId, RekeyError } from '../kernel/index.ts'
import type { PolicyFile } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { viewOf } from './policyset.actions.ts'
import type { BothHandsView } from './policyset.hands.ts'
import { changesBetween, type FileChange, type PolicySetView } from './policyset.model.ts'
import * as rows from './policyset.store.ts'

/** One set with its texts, and what it changes or changed compared with the one in force. */
export interface WholePolicySet extends PolicySetView {
  readonly files: readonly PolicyFile[]
  /** Against the set in force now; empty for that one itself. */
  readonly changes: readonly FileChange[]
  /** Who was found to come to hold directory rights and credential rights together by it, when it was proposed; each was forced. */
  readonly bothHands: readonly BothHandsView[]
}

/** The sets on record, newest first, from before the id `after`; at most `limit`. */
export async function listPolicySets(sql: Sql, after: string | null, limit: number): Promise<PolicySetView[]> {
  return (await rows.listSets(sql, after, limit)).map(viewOf)
}

/** One set by its id, or the one in force (`active`). Throws `not_found`. */
export async function findPolicySet(sql: Sql, id: string): Promise<WholePolicySet> {
  const active = await rows.activeSet(sql)
  const found = id === 'active' ? active : isId(id) ? await rows.findSet(sql, id) : null
  if (found === null) throw new RekeyError('not_found', 'There is no such set of policies.')
  return { ...viewOf(found), files: found.files, changes: changesBetween(active?.files ?? [], found.files), bothHands: found.both_hands }
}
