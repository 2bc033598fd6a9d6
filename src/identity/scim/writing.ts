/** What changes of users and groups have in common. */
import { isCode, makeCtx, newId, RekeyError } from '../../kernel/index.ts'
import type { Store, Tx } from '../../store/index.ts'
import { withSets } from '../policyset.read.ts'
import { invalidValue, ScimError } from './error.ts'
import { etagOf } from './view.ts'

const ROUNDS = 4
/** Deadlock, serialisation failure, and a name that another transaction took first: the next round sees what the other one did. */
const AGAIN = /^(40P01|40001|23505)\b/

/**
 * Runs `work` in one transaction; again if it lost against another one. Throws `ScimError` for what is the client's fault, in words
 * that tell nothing of other providers; everything else as it is.
 */
export async function writing<T>(store: Store, work: (tx: Tx) => Promise<T>): Promise<T> {
  for (let round = 1; ; round++) {
    try {
      // Whether a way to change policy is left is asked of the set in force.
      return await withSets(makeCtx('scim', newId()), () => store.inTx(work))
    } catch (error) {
      if (round === ROUNDS || !isLost(error)) throw translated(error)
    }
  }
}

function isLost(error: unknown): boolean {
  if (isCode(error, 'database_failed')) return AGAIN.test(error.detail ?? '')
  return isCode(error, 'conflict') && !(error instanceof ScimError)
}

function translated(error: unknown): unknown {
  if (error instanceof ScimError || !(error instanceof RekeyError)) return error
  if (error.code === 'bad_input') return invalidValue(error.message)
  if (error.code === 'conflict') return new ScimError(409, 'uniqueness', 'Another resource is in the way.')
  // Somebody took it away between two statements.
  return error.code === 'not_found' || error.code === 'wrong_state'
    ? new ScimError(409, null, 'The resource has changed meanwhile.')
    : error
}

/** `If-Match` of a request: null without the header. Entity tags are compared weakly (RFC 9110 section 8.8.3.2). */
export function checkVersion(ifMatch: string | null, version: number): void {
  if (ifMatch === null) return
  const weak = (tag: string) => tag.trim().replace(/^W\//, '')
  const tags = ifMatch.split(',').map(weak)
  if (!tags.includes('*') && !tags.includes(weak(etagOf(version)))) {
    throw new ScimError(412, null, 'The resource has another version by now.')
  }
}
