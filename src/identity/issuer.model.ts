import { isIP } from 'node:net'
import { INVISIBLE, type Json } from '../kernel/index.ts'
import { refuse } from './record.model.ts'

/** Whose tokens count: any OpenID provider, a Kubernetes cluster, a CI system with claims like GitHub's, a SPIFFE trust domain. */
export const ISSUER_TYPES = ['oidc', 'kubernetes', 'ci', 'spiffe'] as const
/** One of the types of issuers. */
export type IssuerType = (typeof ISSUER_TYPES)[number]

/** Where its keys come from. */
export type KeySource =
  | { readonly from: 'discovery' }
  | { readonly from: 'url'; readonly url: string }
  | { readonly from: 'inline'; readonly jwks: Json }

/** once: a token without `jti` is refused, and each counts once. jti: once where it has one. age: as often as its age allows. */
export const REPLAYS = ['once', 'jti', 'age'] as const
/** One of the ways in which replay is refused. */
export type Replay = (typeof REPLAYS)[number]

/** RFC 7518 section 3.1 and RFC 8037: signatures only. HMAC and `none` are in no list: who checks a token must not be able to make one. */
export const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512'],
  'EdDSA',
  'Ed25519',
] as const
/** JWT-SVID section 3: of these only. */
const SPIFFE_ALGORITHMS = ALGORITHMS.slice(0, 9)
const USUAL_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA']

/** An issuer that is trusted, as it is configured. */
export interface IssuerFields {
  readonly name: string
  readonly type: IssuerType
  /** What `iss` must be; of type spiffe the trust domain. */
  readonly origin: string
  /** What `aud` must name: us. */
  readonly audience: string
  readonly keys: KeySource
  readonly algorithms: readonly string[]
  readonly maxTokenAgeSeconds: number
  readonly clockSkewSeconds: number
  readonly keysMaxAgeSeconds: number
  readonly replay: Replay
}

/** What may be left out when an issuer is added. */
export type IssuerInput = Pick<IssuerFields, 'name' | 'type' | 'origin' | 'audience' | 'keys'> &
  Partial<Pick<IssuerFields, 'algorithms' | 'maxTokenAgeSeconds' | 'clockSkewSeconds' | 'keysMaxAgeSeconds' | 'replay'>>

/** Which claims stand for which identity. */
export interface RuleFields {
  /** subject: the claims of the token. actor: those of its `act` claim. */
  readonly part: 'subject' | 'actor'
  /** Claim to the text that it must be. A name that begins with `/` is a JSON pointer (RFC 6901): `/kubernetes.io/namespace`. */
  readonly claims: Readonly<Record<string, string>>
  /** Claim to the text that it must begin with: weaker, and shown as such. */
  readonly prefixes: Readonly<Record<string, string>>
  readonly scope: readonly string[] | null
  readonly environments: readonly string[] | null
  /** True: the claims say that the key of a bound token lies in hardware. */
  readonly hardware: boolean
}

const MINUTE = 60
/** Of a SPIFFE ID, SPIFFE-ID sections 2.1 to 2.3: lower case, no port, no user, no query, no percent-encoding, no empty or dotted part. */
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/
const SPIFFE_PATH = /^(\/[A-Za-z0-9._-]+)+$/
const SPIFFE_MAX_BYTES = 2048

/** The trust domain of a SPIFFE ID; null if the text is none, or names the trust domain alone and no workload in it. */
export function trustDomainOf(id: string): string | null {
  if (id.length > SPIFFE_MAX_BYTES) return null
  const [, domain = '', path = ''] = /^spiffe:\/\/([^/]*)(\/.*)$/s.exec(id) ?? []
  if (!TRUST_DOMAIN.test(domain) || !SPIFFE_PATH.test(path)) return null
  return path.split('/').some((part) => part === '.' || part === '..') ? null : domain
}

/** An issuer with everything that was left out. Throws `bad_input` naming what is wrong. */
export function checkIssuer(input: IssuerInput): IssuerFields {
  const { type, origin } = input
  if (type === 'spiffe') {
    if (!TRUST_DOMAIN.test(origin)) refuse('The trust domain is not one: lower case letters, digits, dots, dashes and underscores.')
    if (input.keys.from === 'discovery') refuse('A trust domain has no discovery document.', 'Give the address of its bundle, or its keys.')
  } else checkUrl('issuer', origin)
  if (input.keys.from === 'url') checkUrl('address of the keys', input.keys.url)
  const algorithms = [...new Set(input.algorithms ?? (type === 'spiffe' ? SPIFFE_ALGORITHMS : USUAL_ALGORITHMS))]
  const known: readonly string[] = type === 'spiffe' ? SPIFFE_ALGORITHMS : ALGORITHMS
  if (algorithms.length === 0 || !algorithms.every((one) => known.includes(one))) refuse(`Its algorithms are of ${known.join(', ')}.`)
  // A pod uses one token for an hour; elsewhere a new one for each request costs nothing.
  const kubernetes = type === 'kubernetes'
  const replay = input.replay ?? (kubernetes ? 'age' : 'jti')
  const maxTokenAgeSeconds = input.maxTokenAgeSeconds ?? (kubernetes ? 60 * MINUTE : 10 * MINUTE)
  const { clockSkewSeconds = 30, keysMaxAgeSeconds = 5 * MINUTE } = input
  return { ...input, algorithms, replay, maxTokenAgeSeconds, clockSkewSeconds, keysMaxAgeSeconds }
}

/** https, or http on this machine; neither user, query nor fragment. */
function checkUrl(what: string, text: string): void {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || url.username !== '' || url.password !== '' || url.hash !== '' || url.search !== '') {
    refuse(`The ${what} is no address like https://issuer.example.`)
  }
  if (!isFetchable(url)) refuse(`The ${what} must begin with https://.`, 'Only on this machine http:// will do.')
}

/** Whether keys may come from there: over https, or from this very machine. */
export function isFetchable({ protocol, hostname }: URL): boolean {
  const host = hostname.replace(/^\[|\]$/g, '')
  const loopback = host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
  return protocol === 'https:' || (protocol === 'http:' && loopback)
}

/** Beside `sub`, which claims together say enough of who it is. */
const ENOUGH: Readonly<Record<IssuerType, readonly (readonly string[])[]>> = {
  kubernetes: [['/kubernetes.io/namespace', '/kubernetes.io/serviceaccount/name'], ['/kubernetes.io/serviceaccount/uid']],
  ci: ['ref', 'environment', 'workflow', 'job_workflow_ref'].map((claim) => ['repository', claim]),
  spiffe: [],
  oidc: [],
}
const CLAIM_CHARS = 200
const CLAIMS_MAX = 20
const VALUE_CHARS = 2_048
/** A prefix ends where a part of the name ends: `repo:acme/` is no prefix of `repo:acme-evil/`. */
const PREFIX = /[/:]$/

/**
 * Throws `bad_input` unless a rule says of whom it speaks: by `sub`, or by what is enough at this type of issuer. `sub` of a trust domain
 * is a SPIFFE ID in it.
 */
export function checkRule({ type, origin }: Pick<IssuerFields, 'type' | 'origin'>, { part, claims, prefixes }: RuleFields): void {
  const named = [...Object.entries(claims), ...Object.entries(prefixes)]
  if (named.length === 0) refuse('The rule names no claim.')
  if (named.length > CLAIMS_MAX) refuse(`A rule names at most ${CLAIMS_MAX} claims.`)
  for (const [claim, value] of named) {
    if (claim === '' || claim.length > CLAIM_CHARS || INVISIBLE.test(claim))
      refuse('The name of a claim is empty, too long or holds a control character.')
    if (value === '' || value.length > VALUE_CHARS || !value.isWellFormed() || value.includes('\0'))
      refuse(`The value of ${claim} is empty or too long.`)
  }
  const bad = Object.entries(prefixes).find(([claim, value]) => !PREFIX.test(value) || Object.hasOwn(claims, claim))
  if (bad !== undefined) refuse(`The prefix of ${bad[0]} ends with / or :, and stands instead of a value.`)
  const names = new Set(named.map(([claim]) => claim))
  const sets = part === 'actor' ? [] : ENOUGH[type]
  if (!names.has('sub') && !sets.some((set) => set.every((claim) => names.has(claim)))) {
    const other = sets.map((set) => set.join(' and ')).join(', or ')
    refuse(`The rule does not say of whom it speaks: name sub${other === '' ? '' : `, or ${other}`}.`)
  }
  if (type === 'spiffe' && part === 'subject' && claims.sub !== undefined && trustDomainOf(claims.sub) !== origin) {
    refuse('The sub is no SPIFFE ID of this trust domain.')
  }
}

/** The text of a claim; undefined if it is absent or something else than a text. Own properties only. */
export function claimText(claims: unknown, name: string): string | undefined {
  const path = name.startsWith('/')
    ? name
        .slice(1)
        .split('/')
        .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    : [name]
  let at: unknown = claims
  for (const part of path) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, part)) return undefined
    at = (at as Record<string, unknown>)[part]
  }
  return typeof at === 'string' ? at : undefined
}

/**
 * Whether a token can fit both rules by what they say: where all that one of them names is named by the other too, and nothing keeps them
 * apart. A token that fits two rules is refused. Of rules that each name a claim of their own nobody can say before there is a token.
 */
export function overlaps(one: RuleFields, other: RuleFields): boolean {
  const [a, b] = [boundsOf(one), boundsOf(other)]
  const shared = [...a.keys()].filter((name) => b.has(name))
  if (one.part !== other.part || shared.length < Math.min(a.size, b.size)) return false
  return shared.every((name) => meet(a.get(name), b.get(name)))
}

interface Bound {
  readonly text: string
  readonly prefix: boolean
}

function boundsOf({ claims, prefixes }: RuleFields): Map<string, Bound> {
  const of = (texts: Readonly<Record<string, string>>, prefix: boolean) =>
    Object.entries(texts).map(([name, text]): [string, Bound] => [name, { text, prefix }])
  return new Map([...of(claims, false), ...of(prefixes, true)])
}

function meet(a: Bound | undefined, b: Bound | undefined): boolean {
  if (a === undefined || b === undefined) return true
  return (a.prefix && b.text.startsWith(a.text)) || (b.prefix && a.text.startsWith(b.text)) || a.text === b.text
}

/** The one rule that fits the claims; `null` if none does, `several` if it is not one. */
export function ruleFor<R extends RuleFields>(rules: readonly R[], part: 'subject' | 'actor', claims: unknown): R | 'several' | null {
  const fits = rules.filter(
    (rule) =>
      rule.part === part &&
      Object.entries(rule.claims).every(([name, value]) => claimText(claims, name) === value) &&
      Object.entries(rule.prefixes).every(([name, value]) => claimText(claims, name)?.startsWith(value) === true) &&
      // A rule without a claim fits everybody; none is ever stored.
      Object.keys(rule.claims).length + Object.keys(rule.prefixes).length > 0,
  )
  return fits.length > 1 ? 'several' : (fits[0] ?? null)
}
