import * as oidc from 'openid-client'
import { append } from '../../evidence/index.ts'
import { type Ctx, RekeyError, Secret } from '../../kernel/index.ts'
import { sha256Hex } from '../../seal/index.ts'
import type { Tx } from '../../store/index.ts'
import { withSets } from '../policyset.read.ts'
import type { ProvenAal } from '../session.model.ts'
import { newToken, startSession } from '../session.ts'
import { linkByAddress } from './address.ts'
import type { Browser, LoggedIn, LoginParts } from './model.ts'
import * as rows from './oidc.store.ts'
import { type ProviderRow, providerById, providerNamed } from './provider.store.ts'
import { callbackPath, linkIds, linkSource } from './provider.ts'
import { noteFailure, rememberDevice } from './throttle.ts'

/** A login may be this much older than was asked for: the way through the provider's pages takes time, seconds. */
const LEEWAY_SECONDS = 60

/** What a login at a provider is to prove. */
export interface OidcWish {
  readonly provider: string
  /** The least level; the provider is asked for the `acr` values that are worth it. */
  readonly aal?: ProvenAal | undefined
  readonly maxAgeSeconds?: number | undefined
}

/** Where the browser goes next, and what it keeps meanwhile. */
export interface OidcBegun {
  readonly url: string
  readonly flow: Secret
}

/**
 * Begins a login at a provider: authorization code with PKCE (RFC 7636, S256), state and nonce. All three are made of what this browser
 * alone keeps, so that an answer to another browser's request is of no use here, and nothing that is stored lets a login be finished.
 * Throws `not_found` for an unknown provider, `unavailable` if it does not answer.
 */
export async function beginOidcLogin(parts: LoginParts, ctx: Ctx, browser: Browser, wish: OidcWish): Promise<OidcBegun> {
  const { store } = parts
  const provider = await providerNamed(store, wish.provider)
  if (provider === null) throw new RekeyError('not_found', 'There is no such login provider.')
  const config = await parts.oidc.of(store, ctx, provider)
  const flow = newToken()
  const maxAge = Math.min(wish.maxAgeSeconds ?? provider.max_age_seconds, provider.max_age_seconds)
  await rows.putFlow(store, sha256Hex(flow), { provider_id: provider.id, origin: browser.site.origin, max_age_seconds: maxAge })
  const acr = acrFor(provider, wish.aal)
  const metadata = config.serverMetadata()
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: `${browser.site.origin}${callbackPath(provider.name)}`,
    scope: provider.scopes,
    state: partOf(flow, 'state'),
    nonce: partOf(flow, 'nonce'),
    code_challenge: await oidc.calculatePKCECodeChallenge(partOf(flow, 'verifier')),
    code_challenge_method: 'S256',
    max_age: String(maxAge),
    ...(acr.length > 0 ? { acr_values: acr.join(' ') } : {}),
    // `acr_values` is only a wish: without this a provider that still has a weaker login of hers answers with that, and shows her nothing.
    ...(wish.aal !== undefined && wish.aal > 1 ? { prompt: 'login' } : {}),
    // In the fragment the code reaches no server's log and no Referer.
    ...(metadata.response_modes_supported?.includes('fragment') ? { response_mode: 'fragment' } : {}),
  })
  return { url: url.href, flow }
}

/** Values that are worth the level, the mildest first: RFC 9470 section 4, OpenID Connect Core section 3.1.2.1. */
function acrFor({ acr }: ProviderRow, aal: ProvenAal | undefined): string[] {
  if (aal === undefined) return []
  return Object.entries(acr)
    .filter(([, worth]) => worth >= aal)
    .sort(([, a], [, b]) => a - b)
    .map(([value]) => value)
}

/** One of the values that belong to a login, out of what its browser keeps. None of them leads to another. */
function partOf(flow: Secret, what: 'state' | 'nonce' | 'verifier'): string {
  const hex = flow.revealText((text) => sha256Hex(Secret.fromText(`rekey login ${what} v1\0${text}`)))
  return Buffer.from(hex, 'hex').toString('base64url')
}

/**
 * Finishes a login with what the provider sent back (`response`: the query or fragment of the callback) to the page of the provider
 * called `name`. Whatever is wrong with it, the answer is that of `noteFailure`, also for a person who is not on record or not active.
 * Throws `unavailable` if the provider does not answer: then the login has to begin again, since a code is good once.
 */
export async function finishOidcLogin(parts: LoginParts, ctx: Ctx, browser: Browser, name: string, response: string): Promise<LoggedIn> {
  const { store } = parts
  const claimed = browser.flow === null ? null : await rows.takeFlow(store, sha256Hex(browser.flow))
  const provider = claimed === null ? null : await providerById(store, claimed.provider_id)
  if (browser.flow === null || claimed === null || provider === null || claimed.origin !== browser.site.origin) {
    return refuse(parts, ctx, browser, 'no login under way')
  }
  // The code, and the right to exchange it, belong to whoever sent the browser back, and the login that is under way is another's.
  if (name !== provider.name) return refuse(parts, ctx, browser, 'an answer of another provider')
  const config = await parts.oidc.of(store, ctx, provider)
  const claims = await exchange(
    config,
    `${claimed.origin}${callbackPath(provider.name)}?${response}`,
    browser.flow,
    claimed.max_age_seconds,
  )
  if (typeof claims === 'string') return refuse(parts, ctx, browser, claims)
  const done = await withSets(ctx, () => store.inTx((tx) => login(tx, ctx, browser, provider, claims)))
  return typeof done === 'string' ? refuse(parts, ctx, browser, done) : done
}

async function refuse({ store }: LoginParts, ctx: Ctx, browser: Browser, why: string): Promise<never> {
  ctx.log.warn({ requestId: ctx.requestId, why }, 'a login was refused')
  throw await noteFailure(store, browser)
}

/** The claims of the ID token, or in a word why there are none. Throws `unavailable`. */
async function exchange(config: oidc.Configuration, url: string, flow: Secret, maxAgeSeconds: number): Promise<oidc.IDToken | string> {
  if (!URL.canParse(url)) return 'malformed'
  try {
    const tokens = await oidc.authorizationCodeGrant(config, new URL(url), {
      expectedState: partOf(flow, 'state'),
      expectedNonce: partOf(flow, 'nonce'),
      pkceCodeVerifier: partOf(flow, 'verifier'),
      maxAge: maxAgeSeconds + LEEWAY_SECONDS,
      idTokenExpected: true,
    })
    return tokens.claims() ?? 'no ID token'
  } catch (error) {
    for (let at: unknown = error; at instanceof Error; at = at.cause) if (at instanceof RekeyError) throw at
    return `the provider's answer: ${wordOf(error)}`
  }
}

/** A code of the library or the provider; never a text, which may quote what was sent. */
function wordOf(error: unknown): string {
  const { error: said, code, name } = error as { error?: unknown; code?: unknown; name?: unknown }
  return [said, code, name].find((it): it is string => typeof it === 'string' && /^[A-Za-z_]{1,60}$/.test(it)) ?? 'unknown'
}

/** In words for the log why nobody is logged in. */
async function login(tx: Tx, ctx: Ctx, browser: Browser, provider: ProviderRow, claims: oidc.IDToken): Promise<LoggedIn | string> {
  const person = (await personOf(tx, provider, claims)) ?? (await linkByAddress(tx, ctx, provider, claims))
  if (typeof person === 'string') return person
  const session = await startSession(tx, ctx, {
    identity: person.id,
    name: person.name,
    aal: aalOf(provider, claims),
    authenticatedAt: typeof claims.auth_time === 'number' ? new Date(claims.auth_time * 1000) : null,
    method: 'oidc',
    provider: provider.id,
    passkey: null,
    browser: browser.agent,
    replaces: browser.session?.principal.id === person.id ? browser.session.session : null,
  })
  if (session === null) {
    const links = { identity: person.id, login_provider: provider.id }
    const data = { provider: provider.name, why: person.status === 'active' ? 'too old' : person.status }
    await append(tx, ctx, [{ log: 'identity', type: 'login.refused', subject: person.name, links, data }])
    return 'nobody who may log in'
  }
  return { session, device: await rememberDevice(tx, ctx, browser, person.id) }
}

/** Whom the claims are linked to: by the issuer as they write it, else as somebody else may have written it. */
async function personOf(tx: Tx, provider: ProviderRow, { iss, sub }: oidc.IDToken): Promise<rows.PersonRow | null> {
  for (const id of linkIds(iss, sub)) {
    const person = await rows.personLinked(tx, linkSource(provider), id)
    if (person !== null) return person
  }
  return null
}

/** The best of what its `acr` and `amr` are worth by configuration; claims that are not configured are worth nothing of their own. */
export function aalOf({ acr, amr, aal }: Pick<ProviderRow, 'acr' | 'amr' | 'aal'>, claims: oidc.IDToken): ProvenAal {
  const values = Array.isArray(claims.amr) ? claims.amr.filter((it): it is string => typeof it === 'string') : []
  const worth = [
    ...(typeof claims.acr === 'string' && Object.hasOwn(acr, claims.acr) ? [acr[claims.acr]] : []),
    ...values.flatMap((it) => (Object.hasOwn(amr, it) ? [amr[it]] : [])),
  ]
  return worth.reduce<ProvenAal>((best, it) => (it !== undefined && it > best ? it : best), aal)
}
