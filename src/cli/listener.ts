import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { connect, isIPv4 } from 'node:net'
import { RekeyError } from '../kernel/index.ts'
import { NoServer } from './exit.ts'

/** A socket that takes connections, as the kernel lists it: 16 bytes in hex, IPv4 as `::ffff:a.b.c.d`. */
export interface Listener {
  readonly address: string
  readonly port: number
  readonly uid: number
}

const MAPPED = '00000000000000000000ffff'
const ANY_V4 = `${MAPPED}00000000`
const ANY_V6 = '0'.repeat(32)
const LOOPBACK_V6 = `${'0'.repeat(31)}1`
/** `sl local remote st queues timer retransmits uid …`; state 0A is LISTEN. */
const ROW = /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) \S+ \S+ \S+ +(\d+) /
const LISTEN = '0A'

/** Who listens, by the text of `/proc/net/tcp` or `tcp6`. Null if a row is not understood: it could be the one that counts. */
export function parseListeners(text: string): Listener[] | null {
  const found: Listener[] = []
  for (const line of text.split('\n').slice(1)) {
    if (line.trim() === '') continue
    const [, address = '', port = '', state, uid] = ROW.exec(line) ?? []
    if (state === undefined) return null
    if (state === LISTEN) found.push({ address: bytesOf(address), port: Number.parseInt(port, 16), uid: Number(uid) })
  }
  return found
}

/** The kernel prints words of four bytes, each in the order of this processor, which is little-endian on all that Rekey runs on. */
function bytesOf(words: string): string {
  const bytes = Buffer.from(words, 'hex').swap32().toString('hex')
  return words.length === 8 ? MAPPED + bytes : bytes
}

/** Those among `all` that may be reached at one of the addresses. A row for every address counts, also one that may be of IPv6 alone. */
export function reachedAt(all: readonly Listener[], addresses: readonly string[], port: number): Listener[] {
  const places = new Set(addresses.flatMap(placesOf))
  return all.filter((each) => each.port === port && places.has(each.address))
}

function placesOf(address: string): string[] {
  if (address === '::1') return [LOOPBACK_V6, ANY_V6]
  if (!isIPv4(address)) return []
  return [MAPPED + Buffer.from(address.split('.').map(Number)).toString('hex'), ANY_V4, ANY_V6]
}

/**
 * Looks who listens where a plain-text connection to this machine would lead, before anything is sent: any local user may take the
 * port while the server does not run. Throws `forbidden` unless all are in `trusted` (user ids), `NoServer` if nobody listens. Only
 * Linux tells; elsewhere, and for `https://`, where a certificate tells, nothing is looked at.
 */
export async function checkListener(base: URL, trusted: readonly number[]): Promise<void> {
  if (process.platform !== 'linux' || base.protocol !== 'http:') return
  const host = base.hostname.replace(/^\[|\]$/g, '')
  const port = Number(base.port || 80)
  const addresses = await lookup(host, { all: true }).catch((cause: unknown) => {
    throw new NoServer(base.origin, { lost: false, cause })
  })
  const reached = reachedAt(
    await listeners(),
    addresses.map(({ address }) => address),
    port,
  )
  const stranger = reached.find(({ uid }) => !trusted.includes(uid))
  if (stranger !== undefined) throw notSent(base, `it is of user ${stranger.uid}, whom this command does not know as its server`)
  if (reached.length > 0) return
  await takesConnections(base, host, port)
  throw notSent(base, 'the system does not say whose it is')
}

/** The token's owner runs the server or gave the token for it; root has every file anyway; what runs as oneself can read the token too. */
export function trustedUids(tokenOwner: number, configured: number | null): number[] {
  const own = process.getuid?.()
  return [0, tokenOwner, ...(own === undefined ? [] : [own]), ...(configured === null ? [] : [configured])]
}

async function listeners(): Promise<Listener[]> {
  const lists = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(read))
  return lists.flat()
}

async function read(path: string): Promise<Listener[]> {
  // A kernel without IPv6 has no list of it. What listens and is in no list is refused below.
  const text = await readFile(path, 'latin1').catch(() => '')
  const found = parseListeners(text)
  if (found === null) throw new RekeyError('internal', `${path} is not as expected: nothing was sent.`)
  return found
}

/** Resolves if the port takes a connection, which is closed with nothing said. Throws `NoServer` if not. */
async function takesConnections(base: URL, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host, port, timeout: CONNECT_MS })
    const fail = (cause?: unknown) => {
      socket.destroy()
      reject(new NoServer(base.origin, { lost: false, cause }))
    }
    socket.once('error', fail).once('timeout', fail)
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
  })
}

const CONNECT_MS = 5000

function notSent(base: URL, why: string): RekeyError {
  return new RekeyError('forbidden', `Nothing was sent to what listens at ${base.host}: ${why}.`, {
    hint:
      'Find out what it is (`ss -ltnp`). If it is your server, run the command as the user that it runs as, ' +
      'or name that user by number in REKEY_SERVER_UID.',
  })
}
