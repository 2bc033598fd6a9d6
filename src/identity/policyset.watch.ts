import { type Ctx, isCode, messageOf, sleep } from '../kernel/index.ts'
import { defaultPolicies, NO_POLICIES, type Policies, readPoliciesApart } from '../policy/index.ts'
import type { Sql, Store } from '../store/index.ts'
import * as rows from './policyset.store.ts'

/** How long a server goes on with a set that another one has replaced, at most, if the notification is lost. */
const LOOK_EVERY_MS = 2_000

/**
 * Puts in force what the rows say. `known` is the id of the set that was put in force last; resolves with that of the one that is now.
 * A set that this version of the program cannot read is replaced by none: everything is refused, and the log says why.
 */
export async function reloadPolicies(sql: Sql, ctx: Ctx, policies: Policies, known: string | null = null): Promise<string | null> {
  const mark = await rows.activeMark(sql)
  if (mark !== null && mark.id === known) return known
  if (mark === null) {
    policies.replace(NO_POLICIES)
    return null
  }
  try {
    // Of the default set each version of the program uses its own: servers of two versions may run side by side for a while.
    const files = mark.origin === 'default' ? null : ((await rows.findSet(sql, mark.id))?.files ?? [])
    policies.replace(files === null ? defaultPolicies() : await readPoliciesApart(ctx, files, 'in force'))
  } catch (error) {
    // The machine's fault and not the set's: the one before decides on, as where the database does not answer, and it is tried again.
    if (!isCode(error, 'policy_invalid')) throw error
    policies.replace(NO_POLICIES)
    ctx.log.error({ set: mark.id, error: messageOf(error) }, 'the policies in force cannot be read: everything is refused')
  }
  return mark.id
}

/** Keeps `policies` at what the rows say: at each notification, and every two seconds. Resolves with a function that stops it. */
export async function watchPolicies(store: Store, ctx: Ctx, policies: Policies): Promise<() => Promise<void>> {
  const stopping = new AbortController()
  let known: string | null = null
  let nudged = new AbortController()
  const look = async () => {
    while (!stopping.signal.aborted) {
      nudged = new AbortController()
      try {
        known = await reloadPolicies(store, ctx, policies, known)
      } catch (error) {
        ctx.log.warn({ error: messageOf(error) }, 'the policies could not be read again, trying again')
      }
      await sleep(LOOK_EVERY_MS, AbortSignal.any([stopping.signal, nudged.signal]))
    }
  }
  known = await reloadPolicies(store, ctx, policies)
  const unlisten = await store.listen(rows.POLICY_CHANNEL, () => nudged.abort())
  const looking = look()
  return async () => {
    stopping.abort()
    await unlisten()
    await looking
  }
}
