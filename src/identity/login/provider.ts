import { append, type EvidenceEvent } from '../../evidence/index.ts'
import { type Ctx, type Json, newId, RekeyError, type Secret } from '../../kernel/index.ts'
import type { Allowed, Principal } from '../../policy/index.ts'
import { seal } from '../../seal/index.ts'
import type { Sql } from '../../store/index.ts'
import { requireApproval, withApproval } from '../approval.gate.ts'
import type { Approvable } from '../approval.model.ts'
import { lockPolicies } from '../policyset.store.ts'
import { checkReason, checkText } from '../record.model.ts'
import { sealedDigest } from '../rights.story.ts'
import type { ProvenAal } from '../session.model.ts'
import { endSessionsBy } from '../session.ts'
import type { LoginParts } from './model.ts'
import { countCameBy } from './passkey.store.ts'
import type { ClientAuthMethod, ProviderRow } from './provider.store.ts'
import * as rows from './provider.store.ts'
import { keepWaysIn } from './way-in.ts'

const NAME_CHARS = 60
const DAY_SECONDS = 86_400

/** A provider as it is added. */
export interface LoginProviderInput {
  readonly name: string
  /** https, or http on loopback. */
  readonly issuer: string
  readonly clientId: string
  readonly auth: ClientAuthMethod
  /** A client secret, or a private key as JWK (`private_key_jwt`); none for a public client. */
  readonly secret?: Secret | undefined
  readonly scopes?: readonly string[] | undefined
  /** What values of `acr` and `amr` are worth. */
  readonly acr?: Readonly<Record<string, ProvenAal>> | undefined
  readonly amr?: Readonly<Record<string, ProvenAal>> | undefined
  /** What a login is worth that names none of them; 1 unless given. */
  readonly aal?: 1 | 2 | undefined
  /** How old a login at the provider may be, seconds; a day unless given. */
  readonly maxAgeSeconds?: number | undefined
  /** Links a person at the first login by the verified address with which a directory first pushed them: see `linkByAddress`. */
  readonly linkByEmail?: boolean | undefined
}

/** A provider as it is listed; never its secret. */
export interface LoginProvider {
  readonly name: string
  readonly issuer: string
  readonly clientId: string
  /** Below the public origin: where the provider sends people back to. */
  readonly redirectPath: string
  readonly auth: ClientAuthMethod
  readonly scopes: readonly string[]
  readonly acr: Readonly<Record<string, ProvenAal>>
  readonly amr: Readonly<Record<string, ProvenAal>>
  readonly aal: 1 | 2
  readonly maxAgeSeconds: number
  readonly linkByEmail: boolean
  readonly createdAt: Date
}

/**
 * Adds an OpenID provider (`login_provider.added`, log identity), after its discovery document was read. Throws `bad_input` for an
 * issuer that is no such address, or a secret that does not go with the method; `conflict` if name or issuer is taken; `unavailable` if
 * the provider does not answer; `approval_required` where a rule asks for it.
 */
export async function addLoginProvider(
  parts: LoginParts,
  ctx: Ctx,
  _may: Allowed<'login:configure'>,
  by: Principal,
  input: LoginProviderInput,
): Promise<LoginProvider> {
  const { secret } = input
  const asked = rowOf(ctx, input)
  const row = { ...asked, issuer: await parts.oidc.probe(ctx, asked, secret ?? null) }
  await withApproval(parts.store, ctx, by, async (tx) => {
    await requireApproval(tx, ctx, providerAsked(row))
    const kept = secret === undefined ? row : { ...row, ...sealWith(parts.keyring, await parts.keyring.pin(tx), row.id, secret) }
    if (!(await rows.insertProvider(tx, kept, ctx.behind))) {
      throw new RekeyError('conflict', 'There is a login provider of this name or with this issuer already.')
    }
    const { issuer, auth, acr, amr, aal, max_age_seconds, link_by_email } = row
    const limits = { acr, amr, aal, maxAgeSeconds: max_age_seconds, linkByEmail: link_by_email }
    const facts = { issuer, clientId: row.client_id, auth, scopes: row.scopes, secret: sealedDigest(kept.sealed), ...limits }
    await append(tx, ctx, [eventOf('login_provider.added', row, { ...facts, makers: ctx.behind })])
  })
  return viewOf({ ...row, created_at: ctx.clock.now() })
}

/** Trusting exactly this provider, in words and as data. Its secret is how Rekey shows who it is there, and says nothing of who logs in. */
function providerAsked({ name, issuer, client_id, auth, scopes, acr, amr, aal, ...row }: Omit<ProviderRow, 'created_at'>): Approvable {
  const worth = Object.entries({ ...acr, ...amr }).map(
    ([value, level]) => `- a login that says ${JSON.stringify(value)} is worth AAL${level}`,
  )
  const limits = { acr: { ...acr }, amr: { ...amr }, aal, maxAgeSeconds: row.max_age_seconds, linkByEmail: row.link_by_email }
  return {
    action: 'login:configure',
    subject: name,
    what: { provider: name, issuer, clientId: client_id, auth, scopes, ...limits },
    words: [
      `Let people log in at the provider ${name} (${issuer}, client ${JSON.stringify(client_id)}).`,
      `Whom it names is that person here, in approvals too. A login there is worth AAL${aal} by itself.`,
      ...worth,
      ...(row.link_by_email
        ? ['At the first login it links whoever has the address with which a directory first pushed somebody who holds nothing by hand.']
        : []),
    ].join('\n'),
  }
}

/** One segment of a path, and never `.` or `..`. */
const PLAIN_NAME = /^[A-Za-z0-9][\w.-]*$/

function rowOf(ctx: Ctx, input: LoginProviderInput): Omit<ProviderRow, 'created_at'> {
  const { name, issuer, clientId, auth, secret, scopes = [], acr = {}, amr = {}, aal = 1 } = input
  checkText('name of a login provider', name, NAME_CHARS)
  if (!PLAIN_NAME.test(name)) {
    throw new RekeyError('bad_input', 'The name of a login provider is part of an address: letters, digits, ".", "_" and "-" only.')
  }
  checkText('client id', clientId, 500)
  checkIssuer(issuer)
  if ((auth === 'none') !== (secret === undefined)) {
    throw new RekeyError('bad_input', auth === 'none' ? 'A public client has no secret.' : `The method ${auth} needs a secret.`)
  }
  const id = newId(ctx.clock.now().getTime())
  return {
    id,
    name,
    issuer,
    client_id: clientId,
    auth,
    kek_id: null,
    wrapped_key: null,
    sealed: null,
    scopes: [...new Set(['openid', ...(input.linkByEmail ? ['email'] : []), ...scopes])].join(' '),
    acr,
    amr,
    aal,
    max_age_seconds: input.maxAgeSeconds ?? DAY_SECONDS,
    link_by_email: input.linkByEmail ?? false,
  }
}

/** `kekId`: pinned in the transaction that writes the row. */
function sealWith(keyring: LoginParts['keyring'], kekId: string, id: string, secret: Secret) {
  const { key, wrapped } = keyring.newDataKey(kekId, rows.providerKeyBound(id))
  return { kek_id: kekId, wrapped_key: wrapped, sealed: seal(key, secret, rows.providerSecretBound(id)) }
}

/** An issuer is a URL without query or fragment (OpenID Connect Discovery section 3); plain http stays on this machine. */
function checkIssuer(issuer: string): void {
  const url = URL.canParse(issuer) ? new URL(issuer) : null
  const local = url?.protocol === 'http:' && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
  if (url === null || (url.protocol !== 'https:' && !local) || url.search || url.hash || url.username || url.password) {
    throw new RekeyError('bad_input', 'The issuer is not an https address without query and fragment.')
  }
}

/** The providers, by name. */
export async function listLoginProviders(sql: Sql, _ctx: Ctx, _may: Allowed<'login:read'>): Promise<LoginProvider[]> {
  return (await rows.listProviders(sql)).map(viewOf)
}

/** Names of the providers: what a login page shows to strangers, and nothing else of them. */
export async function loginProviderNames(sql: Sql): Promise<string[]> {
  return (await rows.listProviders(sql)).map(({ name }) => name)
}

/**
 * Takes a provider away, and ends every session that began with it (`login_provider.removed`); resolves with how many, and
 * with how many passkeys are left that were enrolled in such sessions: they let their holders in still. Throws `not_found`;
 * `approval_required` where a rule asks for it: it takes the way in from everybody at once; `wrong_state` if nobody would be left who could
 * let others in (`keepWaysIn`).
 */
export async function removeLoginProvider(
  { store, policies }: LoginParts,
  ctx: Ctx,
  _may: Allowed<'login:configure'>,
  by: Principal,
  { name, reason }: { readonly name: string; readonly reason: string },
): Promise<{ readonly sessionsEnded: number; readonly passkeysLeft: number }> {
  checkReason(reason)
  return withApproval(store, ctx, by, async (tx) => {
    await lockPolicies(tx)
    const row = (await rows.providerNamed(tx, name)) ?? noProvider(name)
    await requireApproval(tx, ctx, removalAsked(row, reason))
    const ended = await keepWaysIn(tx, ctx, policies, async () => {
      const sessions = await endSessionsBy(tx, ctx, 'provider_id', row.id, 'provider removed')
      await rows.deleteProvider(tx, row.id)
      return sessions
    })
    await append(tx, ctx, [eventOf('login_provider.removed', row, { issuer: row.issuer, sessions: ended, reason })])
    return { sessionsEnded: ended, passkeysLeft: await countCameBy(tx, linkSource(row)) }
  })
}

/** Taking exactly this provider away, in words and as data. Not who is linked there: that changes with each login by an address. */
function removalAsked({ id, name, issuer }: ProviderRow, reason: string): Approvable {
  return {
    action: 'login:configure',
    subject: name,
    what: { remove: id, provider: name, issuer, reason },
    words: [
      `Take the login provider ${name} (${issuer}) away.`,
      'Everybody who came by it is logged out, and nobody logs in there any more: whoever has no other way in stays out.',
      `Reason given: ${JSON.stringify(reason)}`,
    ].join('\n'),
  }
}

/** Where the record keeps a person's subject at a provider: the source of an external id. */
export function linkSource({ name }: Pick<ProviderRow, 'name'>): string {
  return `oidc:${name}`
}

/** The external id itself: issuer and subject, which together are unique (OpenID Connect Core section 5.7). */
export function linkId(issuer: string, subject: string): string {
  return `${issuer}|${subject}`
}

/**
 * As `linkId`, with every way to write the issuer, as it is first. With and without the slash after the host it is one address, which the
 * library that reads discovery documents takes for the same, and links are also written by hand.
 */
export function linkIds(issuer: string, subject: string): string[] {
  const url = URL.canParse(issuer) ? new URL(issuer) : null
  if (url === null || url.pathname !== '/') return [linkId(issuer, subject)]
  const other = issuer.endsWith('/') ? issuer.slice(0, -1) : `${issuer}/`
  return [linkId(issuer, subject), linkId(other, subject)]
}

/**
 * Where a provider sends people back to: a page, which posts what it was given to `finishOidcLogin`. A GET consumes nothing. Each provider
 * has a page of its own, so that what one of them says is never taken for another's word (mix-up attack, RFC 9700 section 4.4.2).
 */
export function callbackPath(provider: string): string {
  return `/login/callback/${encodeURIComponent(provider)}`
}

function viewOf(row: ProviderRow): LoginProvider {
  const { name, issuer, client_id, auth, scopes, acr, amr, aal, max_age_seconds, link_by_email, created_at } = row
  return {
    name,
    issuer,
    clientId: client_id,
    redirectPath: callbackPath(name),
    auth,
    scopes: scopes.split(' '),
    acr,
    amr,
    aal,
    maxAgeSeconds: max_age_seconds,
    linkByEmail: link_by_email,
    createdAt: created_at,
  }
}

function eventOf(type: string, { id, name }: Pick<ProviderRow, 'id' | 'name'>, data: Record<string, Json>): EvidenceEvent {
  return { log: 'identity', type, subject: name, links: { login_provider: id }, data }
}

/** Throws `not_found`. */
export function noProvider(name: string): never {
  throw new RekeyError('not_found', `No such login provider: ${name}`)
}
