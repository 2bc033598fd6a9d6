import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import { RekeyError } from './errors.ts'

/**
 * Where no system can rightly be: "this network" (which reaches loopback on Linux), link-local (cloud metadata services answer there),
 * multicast, and the metadata services that answer elsewhere (AWS over IPv6, Alibaba, Oracle). A declared system with such an address is a
 * mistake or an attempt to make Rekey knock there.
 */
export const REFUSED_BY_DEFAULT = [
  '0.0.0.0/8',
  '100.100.100.200/32',
  '169.254.0.0/16',
  '192.0.0.192/32',
  '224.0.0.0/4',
  '::/128',
  'fd00:ec2::254/128',
  'fe80::/10',
  'ff00::/8',
] as const

/** Prefixes of IPv6 addresses behind which an IPv4 address stands, and the byte where it begins. */
const CARRIERS = [
  // IPv4-compatible (RFC 4291 section 2.5.5.1); IPv4-mapped, which Node's own list knows.
  { prefix: Buffer.alloc(12), at: 12 },
  { prefix: Buffer.from('00000000000000000000ffff', 'hex'), at: 12 },
  // NAT64 (RFC 6052 section 2.1) and 6to4 (RFC 3056 section 2).
  { prefix: Buffer.from('0064ff9b0000000000000000', 'hex'), at: 12 },
  { prefix: Buffer.from('2002', 'hex'), at: 2 },
] as const

/** The IPv4 address that a gateway or a host makes of this IPv6 address, or null. */
export function carriedIpv4(address: string): string | null {
  const bytes = bytesOf(address)
  const carrier = CARRIERS.find(({ prefix }) => bytes.subarray(0, prefix.length).equals(prefix))
  // `::` and `::1` are addresses of their own.
  if (carrier === undefined || bytes.subarray(0, 15).every((byte) => byte === 0)) return null
  return bytes.subarray(carrier.at, carrier.at + 4).join('.')
}

/** The 16 bytes of an IPv6 address in any of its spellings (RFC 4291 section 2.2); a zone is left out. */
function bytesOf(address: string): Buffer {
  const [plain = ''] = address.split('%')
  const [head = '', tail] = plain.split('::').map((part) => part.split(':').filter(Boolean).map(hexOf).join(''))
  return Buffer.from(tail === undefined ? head : head + '0'.repeat(32 - head.length - tail.length) + tail, 'hex')
}

/** A group, or the dotted end of an address, as hexadecimal digits. */
function hexOf(group: string): string {
  if (!group.includes('.')) return group.padStart(4, '0')
  return group
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join('')
}

/** A network, its prefix in bits. */
export interface Network {
  readonly address: string
  readonly bits: number
  readonly family: 'ipv4' | 'ipv6'
}

/** The parts of `address/prefix` (RFC 4632 section 3.1, RFC 4291 section 2.3); null for anything else. */
export function parseNetwork(text: string): Network | null {
  const [, address = '', prefix = ''] = /^([^/]*)\/(\d{1,3})$/.exec(text) ?? []
  const family = isIP(address)
  const bits = Number(prefix)
  if (family === 0 || bits > (family === 4 ? 32 : 128)) return null
  return { address, bits, family: family === 4 ? 'ipv4' : 'ipv6' }
}

/** Which addresses Rekey connects to. It decides on what a name resolves to, never on how it is written. */
export class AddressGuard {
  readonly #refused = new BlockList()

  /** `refused`: networks as `address/prefix`. Throws `config_invalid` for anything else. */
  constructor(refused: readonly string[] = REFUSED_BY_DEFAULT) {
    for (const network of refused) {
      const parsed = parseNetwork(network)
      if (parsed === null) {
        throw new RekeyError('config_invalid', `Not a network: ${JSON.stringify(network)}`, {
          hint: 'Write address/prefix, for example 10.0.0.0/8.',
        })
      }
      this.#refused.addSubnet(parsed.address, parsed.bits, parsed.family)
    }
  }

  /**
   * Resolves if every address of `host` is allowed; a folder of Unix sockets is no network address. `127.0.0.1`, `127.1`, `0x7f000001`,
   * `localhost`, `::ffff:127.0.0.1` and `64:ff9b::127.0.0.1` are one place. Throws `target_unsupported` for a refused one,
   * `target_unreachable` if the name does not resolve. A name that resolves otherwise a moment later is not caught: whoever controls the
   * name server decides that.
   */
  async check(host: string): Promise<void> {
    if (host.startsWith('/')) return
    for (const { address, family } of await resolve(host)) {
      if (this.#isRefused(address, family)) {
        throw new RekeyError('target_unsupported', `Rekey does not connect to ${address}, which ${host} stands for.`, {
          hint: 'Correct the address in the fleet file, or change REKEY_REFUSE_NETWORKS.',
        })
      }
    }
  }

  #isRefused(address: string, family: number): boolean {
    if (family === 4) return this.#refused.check(address, 'ipv4')
    const carried = carriedIpv4(address)
    return this.#refused.check(address, 'ipv6') || (carried !== null && this.#refused.check(carried, 'ipv4'))
  }
}

/** The addresses that a name stands for at this moment, as text. Throws `target_unreachable` if it does not resolve. */
export async function addressesOf(host: string): Promise<string[]> {
  return (await resolve(host)).map(({ address }) => address)
}

async function resolve(host: string): Promise<{ address: string; family: number }[]> {
  try {
    return await lookup(host, { all: true, verbatim: true })
  } catch (error) {
    throw new RekeyError('target_unreachable', `The name ${host} does not resolve.`, {
      detail: (error as { code?: string }).code ?? '',
      cause: error,
    })
  }
}
