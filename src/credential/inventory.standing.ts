/** What a fleet file may not do to credentials and consumers whose identity is suspended or has left. */
import { type IdentityStatus, idsByName, lockStatuses } from '../identity/index.ts'
import type { RekeyError } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import type { Change } from './fleet.diff.ts'
import type { Fleet } from './fleet.model.ts'
import type { Present } from './inventory.plan.ts'

type Fault = NonNullable<RekeyError['faults']>[number]

/** An item that comes to an identity, or goes from one. */
interface Moved {
  readonly change: Change
  readonly from: string | null
  readonly to: string | null
}

interface Asked {
  readonly fleet: Pick<Fleet, 'credentials'>
  readonly changes: readonly Change[]
  /** What is not in the file is removed. */
  readonly prune: boolean
}

/**
 * Faults of credentials and consumers, new, moved or removed, that would escape a closure: what is given to an identity that is not active
 * is in no plan of it and would live on; a living value that is taken from one is known to who must not have it, or would be ended under
 * its new holder. The identities stay locked until the end of the transaction, so that a suspension comes wholly before or wholly after.
 */
export async function escapes(
  tx: Tx,
  present: Present,
  { fleet, changes, prune }: Asked,
  lineOf: (change: Change) => { line?: number },
): Promise<readonly Fault[]> {
  const moved = [...movedCredentials(fleet, changes), ...movedConsumers(present, changes, prune)]
  if (moved.length === 0) return []
  const statuses = await lockStatuses(tx, [...new Set(moved.flatMap(({ from, to }) => [from ?? [], to ?? []].flat()))])
  const planned = await plannedEnds(tx, statuses)
  return moved.flatMap((one) => {
    const message = whyNot(one, statuses, present, planned)
    return message === null ? [] : [{ path: one.change.name, ...lineOf(one.change), message }]
  })
}

function movedCredentials({ credentials }: Pick<Fleet, 'credentials'>, changes: readonly Change[]): Moved[] {
  const wanted = new Map(credentials.map(({ name, identity }) => [name, identity]))
  return changes.flatMap((change) => {
    const moved = change.fields.find(({ field }) => field === 'identity')
    const to = wanted.get(change.name)
    if (change.of !== 'credential' || change.kind === 'missing-from-file' || moved === undefined || to === undefined) return []
    return [{ change, from: change.kind === 'change' ? textOf(moved.before) : null, to }]
  })
}

function movedConsumers({ inventory }: Present, changes: readonly Change[], prune: boolean): Moved[] {
  const stored = new Map(inventory.credentials.map(({ name, consumers }) => [name, consumers]))
  // What is removed whole is seen to be dead first.
  const going = new Set(changes.flatMap(({ kind, of, name }) => (kind === 'missing-from-file' && of === 'credential' ? [name] : [])))
  return changes.flatMap((change) => {
    if (change.of !== 'consumer' || going.has(change.credential ?? '')) return []
    if (change.kind === 'missing-from-file') {
      const identity = stored.get(change.credential ?? '')?.find(({ name }) => name === change.name)?.identity ?? null
      return prune && identity !== null ? [{ change, from: identity, to: null }] : []
    }
    const moved = change.fields.find(({ field }) => field === 'identity')
    if (moved === undefined) return []
    const [from, to] = [change.kind === 'change' ? textOf(moved.before) : null, textOf(moved.after)]
    return from === null && to === null ? [] : [{ change, from, to }]
  })
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : null)

/** Those who have left and whose closure has its plan already: what it has to do it does, whatever the file says from now on. */
async function plannedEnds(tx: Tx, statuses: ReadonlyMap<string, IdentityStatus>): Promise<ReadonlySet<string>> {
  const ids = await idsByName(
    tx,
    [...statuses].flatMap(([name, status]) => (status === 'offboarded' ? [name] : [])),
  )
  const rows = await tx.query<{ id: string }>(
    "select identity_id as id from closure where identity_id = any($1::uuid[]) and credential_id is null and goal = 'destroy'",
    [[...ids.values()]],
  )
  const planned = new Set(rows.map(({ id }) => id))
  return new Set([...ids].flatMap(([name, id]) => (planned.has(id) ? [name] : [])))
}

function whyNot(
  { change, from, to }: Moved,
  statuses: ReadonlyMap<string, IdentityStatus>,
  present: Present,
  planned: ReadonlySet<string>,
): string | null {
  const stopped = (name: string | null): name is string => name !== null && (statuses.get(name) ?? 'active') !== 'active'
  const { name, credential } = change
  const what = credential === null ? `credential ${name}` : `consumer ${name} of ${credential}`
  if (stopped(to)) return `${what}: its identity ${to} is ${statuses.get(to)}.`
  if (!stopped(from)) return null
  const live = present.credentials.get(credential ?? name)?.live === true
  // With one who has left for good, only what still lives; a consumer may go as soon as the closure has its plan.
  if (statuses.get(from) === 'offboarded' && (!live || (credential !== null && planned.has(from)))) return null
  const way = 'Its value must end with that identity: wait for it, or resume the identity first.'
  if (credential === null) return `${what}: ${from}, which has it, is ${statuses.get(from)}. ${way}`
  return live ? `${what}: ${from}, whose it is, is ${statuses.get(from)} and knows the value. Resume or offboard the identity first.` : null
}
