import type { FastifyRequest } from 'fastify'
import { RekeyError } from '../kernel/index.ts'

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']

/** The host as a URL writes it, so that `127.1`, `0x7f.1` and `LOCALHOST` are what they stand for. */
function plainHost(text: string): string {
  try {
    return new URL(`http://${text.includes(':') ? `[${text}]` : text}`).hostname.replace(/^\[|\]$/g, '')
  } catch {
    return text
  }
}

/** True if only programs of this machine can reach a server that listens on this host. */
export function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || host === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(host)
}

/** `name` or `name:port` without its port; IPv6 addresses keep their brackets. Null if it is no such thing. */
export function hostName(header: string): string | null {
  return /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(header)?.[1]?.toLowerCase() ?? null
}

/**
 * A guard against pages in a browser on this machine. A page cannot choose the Host header: one that reached us through a name of
 * its own that was pointed at 127.0.0.1 (DNS rebinding) sends that name; one that asks across origins sends its Origin. Only for
 * servers on loopback; what listens elsewhere has names that we do not know. Ports are not compared: a tunnel has its own.
 */
export function hostGuard(listenText: string): (request: FastifyRequest) => void {
  const listenHost = plainHost(listenText)
  if (!isLoopback(listenHost)) return () => undefined
  const names = new Set([...LOOPBACK, listenHost])
  const known = (header: string) => names.has(hostName(header) ?? '')
  return ({ headers }) => {
    const { host, origin } = headers
    const from = origin === undefined ? null : origin.replace(/^https?:\/\//, '')
    if (host !== undefined && known(host) && (from === null || known(from))) return
    throw new RekeyError('forbidden', 'This server answers only to its own names.', { hint: `Use http://${LOOPBACK[1]} and its port.` })
  }
}

/**
 * Under which origins a request can have been sent to this server. To one on loopback: by its `Host`, which the guard has let through.
 * Any other has names that only its configuration knows: without it there are none, and no proof that names an address holds.
 */
export function originsOf(listenText: string, publicUrl: string | null = null): (request: FastifyRequest) => readonly string[] {
  const known = publicUrl === null ? [] : [new URL(publicUrl).origin]
  if (!isLoopback(plainHost(listenText))) return () => known
  return ({ headers: { host } }) =>
    host !== undefined && URL.canParse(`http://${host}`) ? [new URL(`http://${host}`).origin, ...known] : known
}
