import { BlockList, isIPv4 } from 'node:net'
import { addressesOf, type Ctx, sleep } from '../kernel/index.ts'
import type { Fleet } from './fleet.model.ts'
import type { SystemRow } from './inventory.store.ts'
import { serverKey } from './server.model.ts'

/** All names together may take so long to resolve; those that have not by then are compared as they are written. */
const RESOLVE_MS = 3_000

/** The servers of systems, by the system's name: what two systems have in common is one server. */
export type Servers = ReadonlyMap<string, readonly string[]>

/** What of a system says where it is. */
interface System {
  readonly name: string
  readonly connector: string
  readonly address: { readonly host: string; readonly port: number }
}

/**
 * On which servers systems are, as far as their addresses tell: the same kind of system at one port of one resolved address. Nothing is
 * connected to. A name is resolved only where another system has the same kind and port; loopback addresses are one place, and so are
 * the ways in which a name can be written. Of two systems of one name the later counts. Never rejects. What this cannot see (a server
 * with several ports or addresses, a proxy, a name that resolves otherwise later) is told by the servers themselves: `withMet`, and
 * `refuseClash` at a rotation's start.
 */
export async function serversOf(ctx: Ctx, systems: readonly System[]): Promise<Servers> {
  const groups = Map.groupBy(systems, (system) => placeOf(system, ''))
  const hosts = [...groups.values()].flatMap((group) => {
    const names = new Set(group.map(({ address }) => address.host))
    return names.size > 1 ? [...names] : []
  })
  const resolved = await resolveAll(ctx, [...new Set(hosts)])
  return new Map(
    systems.map((system) => [system.name, (resolved.get(system.address.host) ?? [written(system)]).map((at) => placeOf(system, at))]),
  )
}

const written = ({ address }: System) => address.host.toLowerCase().replace(/\.$/, '')

function placeOf({ connector, address }: System, at: string): string {
  return JSON.stringify([connector, address.port, at])
}

/** What a system's server said of itself, where the file leaves the system at its address. */
export interface MetSystem {
  /** See `serverKey`; null: it does not tell one server, or is a copy by a human's word. */
  readonly key: string | null
  /** As which account the server takes root, where that is not the declared one. */
  readonly rootMatched: string | null
}

/** The systems that were met, by name: those of the file as far as it changes nothing of where and as whom they are reached. */
export function metSystems(stored: Iterable<SystemRow>, fleet: Pick<Fleet, 'systems'>): Map<string, MetSystem> {
  const declared = new Map(fleet.systems.map((system) => [system.name, system]))
  const met = new Map<string, MetSystem>()
  for (const { name, connector, host, port, server, met_here, apart, root_account, root_matched } of stored) {
    const wanted = declared.get(name)
    const same = wanted === undefined || (wanted.connector === connector && wanted.address.host === host && wanted.address.port === port)
    const asBefore = same && (wanted === undefined || wanted.root.account === root_account)
    const key = same && met_here && !apart ? serverKey(server) : null
    met.set(name, { key: key && JSON.stringify([connector, key]), rootMatched: asBefore ? root_matched : null })
  }
  return met
}

/** Systems that said the same of themselves are on one server, whatever their addresses. */
export function withMet(servers: Servers, met: ReadonlyMap<string, MetSystem>): Servers {
  const names = new Set([...servers.keys(), ...met.keys()])
  return new Map([...names].map((name) => [name, [...(servers.get(name) ?? []), ...[met.get(name)?.key ?? []].flat()]]))
}

async function resolveAll(ctx: Ctx, hosts: readonly string[]): Promise<Map<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>()
  const over = new AbortController()
  const all = hosts.map(async (host) => {
    if (host.startsWith('/')) return
    const addresses = await addressesOf(host).catch(() => null)
    if (addresses !== null) found.set(host, [...new Set(addresses.map(plain))])
  })
  await Promise.race([Promise.all(all), sleep(RESOLVE_MS, AbortSignal.any([over.signal, ctx.signal]))])
  over.abort()
  // A copy: what comes later must not change what was compared.
  return new Map(found)
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** One spelling of an address. `::ffff:10.0.0.1` is 10.0.0.1. */
function plain(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address
  return LOOPBACK.check(mapped, isIPv4(mapped) ? 'ipv4' : 'ipv6') ? 'loopback' : mapped.toLowerCase()
}
