import { defaultPolicies, type PolicySet } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { readOrNone } from './policyset.read.ts'
import * as rows from './policyset.store.ts'

/**
 * The set in force by the rows, for who is not handed the one that the server has; null where there is none, or none that this version can
 * read. Under `withSets`, unless a server has it in force anyway: it is read there where it is not known.
 */
export async function setInForce(sql: Sql): Promise<PolicySet | null> {
  const active = await rows.activeSet(sql)
  if (active === null) return null
  return active.origin === 'default' ? defaultPolicies() : readOrNone(active.files)
}
