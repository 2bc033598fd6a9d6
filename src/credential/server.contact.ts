import { differenceOf, otherServer, type ServerIdentity } from '../connectors/contract.ts'
import { append } from '../evidence/index.ts'
import { type Ctx, RekeyError, sleep } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import { systemForWork } from './inventory.system.ts'
import type { Work, WorkSystem } from './rotation.store.ts'
import { knownOf, type StoredServer, sameFacts, storedOf } from './server.model.ts'
import { lockServer, putServer } from './server.store.ts'
import type { Targets } from './targets.ts'

interface Parts {
  readonly store: Store
  readonly targets: Targets
}

/** What was found out about a system. */
export interface Met {
  readonly server: StoredServer
  /** As which account the server takes root, where that is not the declared one. */
  readonly rootMatched: string | null
}

/**
 * Asks a system which server it is. At the first contact that goes on record, with its evidence; from then on no other one is driven.
 * `work.system` says afterwards what is on record. Throws a `target_*` error if the system cannot be asked or is another server, and
 * `unavailable` if somebody moved it meanwhile.
 */
export async function meet(parts: Parts, ctx: Ctx, { system, root }: Pick<Work, 'system' | 'root'>): Promise<void> {
  const target = await parts.targets.of(parts.store, system, root)
  const identity = await target.identify(ctx)
  const found = metOf(system, identity)
  if (isOnRecord(system, found)) return
  Object.assign(system, await record(parts, ctx, system, identity), { metHere: true, seenAgo: 0 })
  await parts.targets.of(parts.store, system, root)
}

type OnRecord = Pick<WorkSystem, 'server' | 'metHere' | 'rootMatched'>

function metOf({ rootAccount }: Pick<WorkSystem, 'rootAccount'>, identity: ServerIdentity): Met {
  return { server: storedOf(identity), rootMatched: identity.account === rootAccount ? null : identity.account }
}

function isOnRecord({ server, metHere, rootMatched }: OnRecord, found: Met): boolean {
  if (server === null || !metHere || rootMatched !== found.rootMatched || server.run !== found.server.run) return false
  return sameFacts(server.facts, found.server.facts) || Object.keys({ ...server.facts, ...found.server.facts }).length === 0
}

async function record({ store }: Parts, ctx: Ctx, system: WorkSystem, identity: ServerIdentity): Promise<Met> {
  const found = metOf(system, identity)
  return store.inTx(async (tx) => {
    const row = await lockServer(tx, system.id)
    if (row === null || row.place !== system.place || row.root_account !== system.rootAccount)
      throw new RekeyError('unavailable', `The system ${system.name} changed meanwhile.`)
    const difference = differenceOf(knownOf(row.server, row.server_ago), identity, 0)
    if (difference !== null) throw otherServer(system.name, difference)
    const before = { server: row.server, metHere: row.met_here, rootMatched: row.root_matched }
    if (isOnRecord(before, found)) return found
    await putServer(tx, system.id, found.server, found.rootMatched)
    // That the same server was started anew, or answers at another address, is no news.
    if (!isOnRecord({ ...before, metHere: true, server: before.server && { ...before.server, run: found.server.run } }, found)) {
      const data = { facts: found.server.facts, rootAccount: identity.account }
      await append(tx, ctx, [{ log: 'credential', type: 'system.server_seen', subject: row.name, links: { system: system.id }, data }])
    }
    return found
  })
}

/** So long a rotation waits for other systems to say which servers they are; those that have not by then are met at their own turn. */
const PATIENCE_MS = 3_000
/** A system that did not answer is asked again after this. */
const AGAIN_MS = 30_000
/** Systems asked at once. */
const AT_ONCE = 8

/** Of each process: who is being asked or was, by system, so that many rotations ask one system once. */
const asking = new WeakMap<Targets, Map<string, Promise<Met | null>>>()

/**
 * Meets other systems, each with its own root credential; one that cannot be asked in time is left out. Never rejects. Asking changes
 * nothing on them.
 */
export async function meetOthers(parts: Parts, ctx: Ctx, names: readonly string[]): Promise<ReadonlyMap<string, Met>> {
  const found = new Map<string, Met>()
  const over = new AbortController()
  const all = async () => {
    for (let at = 0; at < names.length && !over.signal.aborted; at += AT_ONCE) {
      await Promise.all(
        names.slice(at, at + AT_ONCE).map(async (name) => {
          const met = await meetOnce(parts, ctx, name)
          if (met !== null) found.set(name, met)
        }),
      )
    }
  }
  await Promise.race([all(), sleep(PATIENCE_MS, AbortSignal.any([over.signal, ctx.signal]))])
  over.abort()
  return new Map(found)
}

function meetOnce(parts: Parts, ctx: Ctx, name: string): Promise<Met | null> {
  const open = asking.get(parts.targets) ?? new Map<string, Promise<Met | null>>()
  asking.set(parts.targets, open)
  const known = open.get(name)
  if (known !== undefined) return known
  const asked = (async () => {
    try {
      const work = await systemForWork(parts.store, name)
      await meet(parts, ctx, work)
      open.delete(name)
      return work.system.server && { server: work.system.server, rootMatched: work.system.rootMatched }
    } catch {
      setTimeout(() => open.delete(name), AGAIN_MS).unref()
      return null
    }
  })()
  open.set(name, asked)
  return asked
}
