import { defaultPolicies, type PolicySet, readPolicies } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import * as rows from './policyset.store.ts'

/**
 * The set in force by the rows, for who is not handed the one that the server has; null where there is none, or none that this version can
 * read. Read and checked anew at each call, which takes some ten milliseconds: not for every request.
 */
export async function setInForce(sql: Sql): Promise<PolicySet | null> {
  const active = await rows.activeSet(sql)
  if (active === null) return null
  try {
    return active.origin === 'default' ? defaultPolicies() : readPolicies(active.files)
  } catch {
    return null
  }
}
