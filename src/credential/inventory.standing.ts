/** What a fleet file may not do to credentials and consumers whose identity is suspended or has left. */
import { type IdentityStatus, idsByName, lockStatuses } from '../identity/index.ts'
import type { RekeyError } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import type { Change } from './fleet.diff.ts'
import type { Fleet } from './fleet.model.ts'
import type { Present } from './inventory.plan.ts'
import { keptByLeavers, lostByName } from './inventory.rehome.ts'

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
  const left = moved.flatMap(({ change: { name, credential }, from }) => {
    const hasLeft = credential === null && from !== null && statuses.get(from) === 'offboarded' && present.credentials.get(name)?.live
    return hasLeft ? [{ name, from, consumers: consumersAfter(present, fleet, prune, name) }] : []
  })
  const facts = { statuses, present, planned: await plannedEnds(tx, statuses), kept: await keptByLeavers(tx, left) }
  const named = await idsByName(
    tx,
    left.flatMap(({ consumers }) => consumers.map(({ name }) => name)),
  )
  const lost = new Map(left.map(({ name, from, consumers }) => [name, lostByName(consumers, from, named)]))
  return moved.flatMap((one) => {
    const { change, from } = one
    const message = whyNot(one, facts) ?? (change.credential === null ? whyLost(change.name, from, lost.get(change.name)) : null)
    return message === null ? [] : [{ path: change.name, ...lineOf(change), message }]
  })
}

/** The consumers that a credential has once the file is applied. */
function consumersAfter({ inventory }: Present, { credentials }: Pick<Fleet, 'credentials'>, prune: boolean, name: string) {
  const wanted = credentials.find((one) => one.name === name)?.consumers ?? []
  const stored = inventory.credentials.find((one) => one.name === name)?.consumers ?? []
  return [...wanted, ...(prune ? [] : stored.filter((one) => !wanted.some((other) => other.name === one.name)))]
}

function whyLost(name: string, from: string | null, lost: readonly string[] = []): string | null {
  if (lost.length === 0) return null
  const are = lost.length > 1 ? 'are' : 'is'
  const whose = `${lost.slice(0, 5).join(', ')} would get the values of its new identity, and ${are} ${from}'s by name`
  return `credential ${name}: ${whose}. Say whose with identity, or take ${lost.length > 1 ? 'them' : 'it'} out with --prune.`
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

/** What decides whether something may move. */
interface Facts {
  readonly statuses: ReadonlyMap<string, IdentityStatus>
  readonly present: Present
  readonly planned: ReadonlySet<string>
  /** By the name of a credential: what keeps it with who has left. */
  readonly kept: ReadonlyMap<string, string>
}

function whyNot({ change, from, to }: Moved, { statuses, present, planned, kept }: Facts): string | null {
  const stopped = (name: string | null): name is string => name !== null && (statuses.get(name) ?? 'active') !== 'active'
  const { name, credential } = change
  const what = credential === null ? `credential ${name}` : `consumer ${name} of ${credential}`
  if (stopped(to)) return `${what}: its identity ${to} is ${statuses.get(to)}.`
  if (!stopped(from)) return null
  const live = present.credentials.get(credential ?? name)?.live === true
  const hasLeft = statuses.get(from) === 'offboarded'
  if (credential === null) {
    if (hasLeft) return live && kept.has(name) ? `${what}: ${from}, which has it, has left, and ${kept.get(name)}.` : null
    return `${what}: ${from}, which has it, is suspended. Resume or offboard ${from} first.`
  }
  // With one who has left for good, only what still lives; it may go as soon as the closure has its plan.
  if (hasLeft && (!live || planned.has(from))) return null
  return live ? `${what}: ${from}, whose it is, is ${statuses.get(from)} and knows the value. Resume or offboard the identity first.` : null
}
