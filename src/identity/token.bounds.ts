import type { Ctx } from '../kernel/index.ts'
import type { Principal } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { boundFor } from './delegate.ts'

/**
 * The makers of a token that is of no program, as what bounds it: it may never do more than each of them may now. Only people bound it:
 * what a program has made goes on when an admin moves, and is a finding (`tokensBeyondMakers`). That they are active is seen where the
 * token is looked up: one who is gone since bounds nothing for that moment.
 */
export async function boundsOf(sql: Sql, ctx: Ctx, makers: readonly string[] | null): Promise<Principal[]> {
  const found: Principal[] = []
  for (const maker of makers ?? []) {
    const bound = await boundFor(sql, maker, ctx.clock.now(), { scope: null, environments: null })
    if (bound?.kind !== 'person') return []
    found.push(bound)
  }
  return found
}
