/** Browsers: their cookies, and what proves that a request comes from one of our own pages. */
import { fastifyCookie } from '@fastify/cookie'
import type { FastifyRequest } from 'fastify'
import { readToken, type SessionHolder } from '../identity/index.ts'
import type { Browser, LoggedIn, OidcBegun, Site } from '../identity/login/index.ts'
import { RekeyError, type Secret } from '../kernel/index.ts'
import { hostName, isLoopback } from './hosts.ts'
import { addressOf } from './limit.ts'

/** What a page of ours must send with everything that changes something: no form and no image of another page can. */
export const PAGE_HEADER = 'x-rekey-request'

/**
 * `__Host-` (RFC 6265bis section 4.1.3.2): only over TLS, only from this very host, so that no neighbouring name can set one. Plain http
 * is answered on loopback alone, where the prefix cannot be used.
 */
const NAMES = {
  secure: { session: '__Host-rekey', flow: '__Host-rekey-login', device: '__Host-rekey-device' },
  plain: { session: 'rekey-session', flow: 'rekey-login', device: 'rekey-device' },
} as const

type Names = (typeof NAMES)[keyof typeof NAMES]

const FLOW_SECONDS = 600
/** For how long a browser stays known after its last login. */
const DEVICE_SECONDS = 400 * 86_400

/** Where this server's pages are. Null: it listens to a network without TLS and was not told its public address. */
export type Sites = (request: FastifyRequest) => Site | null

/** `publicUrl`: what browsers call this server; without it, pages are served to loopback under whatever name they used. */
export function sitesOf(publicUrl: string | null, listenHost: string): Sites {
  if (publicUrl !== null) {
    const { origin, hostname } = new URL(publicUrl)
    return () => ({ origin, rpId: hostname })
  }
  if (!isLoopback(listenHost)) return () => null
  // The host guard has seen to it that the name is one of loopback.
  return ({ headers: { host = '' } }) => ({ origin: `http://${host.toLowerCase()}`, rpId: hostName(host) ?? 'localhost' })
}

function namesOf({ origin }: Site): Names {
  return origin.startsWith('https:') ? NAMES.secure : NAMES.plain
}

function cookiesOf({ headers }: FastifyRequest): Readonly<Record<string, string>> {
  return headers.cookie === undefined ? {} : fastifyCookie.parse(headers.cookie)
}

/** What the request's session cookie holds, if it has the form; null if there is none. */
export function sessionTokenOf(request: FastifyRequest, site: Site | null): Secret | null {
  return site === null ? null : readToken(cookiesOf(request)[namesOf(site).session])
}

/** What the request's cookie holds by which a browser is known from an earlier login; null if there is none. */
export function deviceTokenOf(request: FastifyRequest, site: Site | null): Secret | null {
  return site === null ? null : readToken(cookiesOf(request)[namesOf(site).device])
}

/** The browser that asks. Throws `unavailable` where this server does not know its own address. */
export function browserOf(request: FastifyRequest, site: Site | null, session: SessionHolder | null): Browser {
  const known = requireSite(site)
  const cookies = cookiesOf(request)
  const names = namesOf(known)
  return {
    site: known,
    flow: readToken(cookies[names.flow]),
    device: readToken(cookies[names.device]),
    source: addressOf(request),
    agent: request.headers['user-agent'] ?? '',
    session,
  }
}

/** Where pages are: passkeys know names, not addresses, so on this machine it is always `localhost`. */
export function pagesOf(site: Site | null): string | null {
  if (site === null) return null
  const url = new URL(site.origin)
  if (url.protocol === 'http:') url.hostname = 'localhost'
  return url.origin
}

function requireSite(site: Site | null): Site {
  if (site !== null) return site
  throw new RekeyError('unavailable', 'This server has not been told the address that browsers know it by.', {
    hint: 'Set REKEY_PUBLIC_URL, for example https://rekey.example.com',
  })
}

/**
 * Throws `forbidden` unless the request comes from a page of this very origin. Browsers send Origin with every POST and let no page choose
 * it; the header of our own cannot be sent across origins without asking us first, and we never answer such a question.
 */
export function requireOwnPage({ headers }: FastifyRequest, site: Site | null): void {
  const { origin } = requireSite(site)
  const from = headers['sec-fetch-site']
  if (headers.origin === origin && headers[PAGE_HEADER] !== undefined && (from === undefined || from === 'same-origin')) return
  throw new RekeyError('forbidden', 'The request does not come from a page of this server.')
}

type SetCookies = { readonly 'set-cookie': readonly string[] }

function cookie(site: Site, name: string, token: Secret | null, maxAge?: number): string {
  const options = {
    path: '/',
    httpOnly: true,
    secure: site.origin.startsWith('https:'),
    sameSite: 'strict',
    ...(token === null ? { maxAge: 0 } : maxAge === undefined ? {} : { maxAge }),
  } as const
  return token === null
    ? fastifyCookie.serialize(name, '', options)
    : token.revealText((text) => fastifyCookie.serialize(name, text, options))
}

/** What binds the login that has begun to its browser. */
export function flowCookie({ site }: Browser, flow: OidcBegun['flow']): SetCookies {
  return { 'set-cookie': [cookie(site, namesOf(site).flow, flow, FLOW_SECONDS)] }
}

/** The session, until the browser is closed or the session ends; by what the browser is known; and the login is over. */
export function loginCookies({ site }: Browser, { session, device }: LoggedIn): SetCookies {
  const names = namesOf(site)
  return {
    'set-cookie': [
      cookie(site, names.session, session.token),
      cookie(site, names.device, device, DEVICE_SECONDS),
      cookie(site, names.flow, null),
    ],
  }
}

/** The session is over. The browser stays known. */
export function logoutCookies({ site }: Browser): SetCookies {
  return { 'set-cookie': [cookie(site, namesOf(site).session, null)] }
}
