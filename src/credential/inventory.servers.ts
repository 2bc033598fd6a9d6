import { BlockList, isIPv4 } from 'node:net'
import { addressesOf, type Ctx, sleep } from '../kernel/index.ts'

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
 * the ways in which a name can be written. Of two systems of one name the later counts. Never rejects. Not seen: a server with several
 * ports or addresses of its own (a socket folder beside TCP, a proxy), and names that resolve otherwise later.
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
