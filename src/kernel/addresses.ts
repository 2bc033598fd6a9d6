import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import { RekeyError } from './errors.ts'

/**
 * Where no system can rightly be: "this network" (which reaches loopback on Linux), link-local (cloud metadata services answer there)
 * and multicast. A declared system with such an address is a mistake or an attempt to make Rekey knock there.
 */
export const REFUSED_BY_DEFAULT = ['0.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '::/128', 'fe80::/10', 'ff00::/8'] as const

/** Which addresses Rekey connects to. It decides on what a name resolves to, never on how it is written. */
export class AddressGuard {
  readonly #refused = new BlockList()

  /** `refused`: networks as `address/prefix`. Throws `config_invalid` for anything else. */
  constructor(refused: readonly string[] = REFUSED_BY_DEFAULT) {
    for (const network of refused) {
      const [address = '', prefix = ''] = network.split('/')
      const family = isIP(address)
      const bits = Number(prefix)
      if (family === 0 || !/^\d{1,3}$/.test(prefix) || bits > (family === 4 ? 32 : 128)) {
        throw new RekeyError('config_invalid', `Not a network: ${JSON.stringify(network)}`, {
          hint: 'Write address/prefix, for example 10.0.0.0/8.',
        })
      }
      this.#refused.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6')
    }
  }

  /**
   * Resolves if every address of `host` is allowed; a folder of Unix sockets is no network address. `127.0.0.1`, `127.1`, `0x7f000001`,
   * `localhost` and `::ffff:127.0.0.1` are one place. Throws `target_unsupported` for a refused one, `target_unreachable` if the name
   * does not resolve. A name that resolves otherwise a moment later is not caught: whoever controls the name server decides that.
   */
  async check(host: string): Promise<void> {
    if (host.startsWith('/')) return
    for (const { address, family } of await resolve(host)) {
      if (this.#refused.check(address, family === 4 ? 'ipv4' : 'ipv6')) {
        throw new RekeyError('target_unsupported', `Rekey does not connect to ${address}, which ${host} stands for.`, {
          hint: 'Correct the address in the fleet file, or change REKEY_REFUSE_NETWORKS.',
        })
      }
    }
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
