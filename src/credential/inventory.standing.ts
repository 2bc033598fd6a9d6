/** What a fleet file may not do to credentials whose identity is suspended or has left. */
import { lockStatuses } from '../identity/index.ts'
import type { RekeyError } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import type { Change } from './fleet.diff.ts'
import type { Fleet } from './fleet.model.ts'
import type { Present } from './inventory.plan.ts'

/**
 * Faults of new credentials, and of moved ones, that would escape a closure: what is given to an identity that is not active is in no plan
 * of it and would live on; a living value that is taken from one is known to who must not have it, or would be ended under its new holder.
 * The identities stay locked until the end of the transaction, so that a suspension comes wholly before or wholly after.
 */
export async function escapes(
  tx: Tx,
  present: Present,
  { credentials }: Pick<Fleet, 'credentials'>,
  changes: readonly Change[],
  lineOf: (change: Change) => { line?: number },
): Promise<NonNullable<RekeyError['faults']>> {
  const wanted = new Map(credentials.map(({ name, identity }) => [name, identity]))
  const given = changes.flatMap((change) => {
    const moved = change.fields.find(({ field }) => field === 'identity')
    const to = wanted.get(change.name)
    if (change.of !== 'credential' || change.kind === 'missing-from-file' || moved === undefined || to === undefined) return []
    const from = change.kind === 'change' && typeof moved.before === 'string' ? moved.before : null
    return [{ change, from, to }]
  })
  if (given.length === 0) return []
  const statuses = await lockStatuses(tx, [...new Set(given.flatMap(({ from, to }) => (from === null ? [to] : [from, to])))])
  const stopped = (name: string | null) => name !== null && (statuses.get(name) ?? 'active') !== 'active'
  return given.flatMap(({ change, from, to }) => {
    const place = { path: change.name, ...lineOf(change) }
    if (stopped(to)) return [{ ...place, message: `credential ${change.name}: its identity ${to} is ${statuses.get(to)}.` }]
    // With one who has left for good, only what still lives.
    const over = from !== null && statuses.get(from) === 'offboarded' && !present.credentials.get(change.name)?.live
    if (from === null || !stopped(from) || over) return []
    const way = 'Its value must end with that identity: wait for it, or resume the identity first.'
    return [{ ...place, message: `credential ${change.name}: ${from}, which has it, is ${statuses.get(from)}. ${way}` }]
  })
}
