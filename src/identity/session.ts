import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isId, newId, pageOfSeenById, RekeyError, Secret } from '../kernel/index.ts'
import { type Allowed, type Principal, type Resource, StepUpRequired } from '../policy/index.ts'
import { randomSecret, sha256Hex } from '../seal/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { dropCodesIn, moveCodes, noteCame } from './code.store.ts'
import { sessionDigest } from './rights.story.ts'
import { rolesHeld } from './role.store.ts'
import type { Login, NewSession, SessionHolder, SessionView } from './session.model.ts'
import * as rows from './session.store.ts'
import { moveProofs } from './step-up.store.ts'
import { teamsOf } from './team.actions.ts'

/** 256 bits: nobody guesses one, so a plain SHA-256 of it may be stored and looked up. */
const TOKEN_BYTES = 32
const BROWSER_CHARS = 200
/** What such a text looks like: anything else is not looked up. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/

/**
 * What a person keeps for the command line begins so, and is hashed with it: what a browser keeps is never good there, nor the other way
 * round. A program sends it by itself with nothing, so no page of anybody can make use of it.
 */
const HAND = 'rekey-session_'
/** How fresh the login must be that such a session is made by, seconds: a cookie that was stolen makes none an hour later. */
const FRESH_SECONDS = 900

/** Unpredictable text of 256 bits, base64url: for what a browser keeps. */
export function newToken(): Secret {
  return randomSecret(TOKEN_BYTES).reveal((bytes) => Secret.fromText(Buffer.from(bytes).toString('base64url')))
}

/** A text of the form that `newToken` makes; null for any other. */
export function readToken(text: string | undefined): Secret | null {
  return text !== undefined && TOKEN.test(text) ? Secret.fromText(text) : null
}

/** The session that a bearer token stands for; null for any other token. */
export function readHandToken(token: Secret): Secret | null {
  return token.revealText((text) => text.startsWith(HAND) && TOKEN.test(text.slice(HAND.length))) ? token : null
}

/**
 * Whose session this is; null if nobody's, or if it ended, is too old, rested too long, or its person is not active. Rows are asked each
 * time, by the database's clock, so nothing has to be told to anybody for a session to end everywhere. `watch` is no use: it does not keep
 * a session from ending at rest. Throws `unavailable` when the
 * database does not answer.
 */
export async function authenticateSession(sql: Sql, token: Secret, as: 'use' | 'watch' = 'use'): Promise<SessionHolder | null> {
  const row = await rows.liveSession(sql, sha256Hex(token))
  if (row === null) return null
  if (row.stale && as === 'use') await rows.touchSession(sql, row.id)
  const teams = await teamsOf(sql, row.identity)
  const held = await rolesHeld(sql, row.identity, teams, null)
  const proof = { attestation: 'none', actsFor: null, scope: null, environments: null } as const
  const principal: Principal = {
    id: row.identity,
    kind: 'person',
    identity: row.identity,
    name: row.name,
    ...held,
    teams,
    aal: row.aal,
    authenticatedAt: row.authenticated_at,
    ...proof,
  }
  return { principal, session: row.id }
}

/**
 * Begins a session in the caller's transaction (`session.started`, log identity). Null if the person is not active, or the login is too
 * old to begin one with: the caller gives the answer that every failed login gets.
 */
export async function startSession(tx: Tx, ctx: Ctx, login: Login): Promise<NewSession | null> {
  const person = await rows.lockActivePerson(tx, login.identity)
  if (person === null) return null
  await rows.dropOldSessions(tx)
  const id = newId(ctx.clock.now().getTime())
  const token = login.byHand === true ? newToken().revealText((text) => Secret.fromText(HAND + text)) : newToken()
  const browser = login.browser.replace(/[^\x20-\x7e]/g, '').slice(0, BROWSER_CHARS)
  const row = await rows.addSession(tx, id, sha256Hex(token), { ...login, browser })
  if (row === null) return null
  if (login.replaces !== null) {
    await rows.replaceSession(tx, login.replaces)
    await moveCodes(tx, login.replaces, id)
    await moveProofs(tx, login.replaces, id)
  }
  await noteCame(tx, login.identity)
  const { aal, method, provider, passkey, replaces, identity } = login
  const links = {
    identity,
    session: id,
    ...(provider === null ? {} : { login_provider: provider }),
    ...(passkey === null ? {} : { passkey }),
    ...(replaces === null ? {} : { replaced_session: replaces }),
  }
  const digest = sessionDigest(sha256Hex(token))
  const data = {
    aal,
    method,
    authenticatedAt: row.authenticated_at.toISOString(),
    digest,
    ...(login.byHand === true && { commandLine: true }),
  }
  await append(tx, ctx, [{ log: 'identity', type: 'session.started', actor: `person:${identity}`, subject: person.name, links, data }])
  return { id, token, identity, name: person.name, aal, authenticatedAt: row.authenticated_at, endsAt: row.ends_at }
}

/**
 * Begins another session of who is logged in, for the command line: as good and as old as the one that asks, and ended with the provider
 * or the passkey of that one. Throws `wrong_state` for a token, which has no session; `step_up_required` unless the login is fresh;
 * `unauthenticated` if that session ended meanwhile.
 */
export async function beginHandSession(
  store: Store,
  ctx: Ctx,
  may: Allowed<'session:begin'>,
  holder: SessionHolder | null,
): Promise<NewSession> {
  if (holder === null) throw new RekeyError('wrong_state', 'A token has no session.', { hint: 'Log in with a browser first.' })
  const { principal, session } = holder
  may.check(resourceOf('new', principal.id))
  const ageMs = ctx.clock.now().getTime() - (principal.authenticatedAt?.getTime() ?? 0)
  const aal = principal.aal === 0 ? 1 : principal.aal
  if (ageMs > FRESH_SECONDS * 1000) throw new StepUpRequired({ aal, maxAgeSeconds: FRESH_SECONDS })
  return store.inTx(async (tx) => {
    const from = (await isStillIn(tx, holder)) ? await rows.loginOf(tx, session) : null
    const begun = from === null ? null : await startSession(tx, ctx, { ...from, browser: 'command line', replaces: null, byHand: true })
    if (begun === null) throw new RekeyError('unauthenticated', 'Your session has ended.', { hint: 'Log in again.' })
    return begun
  })
}

/**
 * Whether this person is active and the session live, both locked as they are to the end of the transaction: what a request looked at
 * before may be over by now.
 */
export async function isStillIn(tx: Tx, { principal, session }: SessionHolder): Promise<boolean> {
  return (await rows.lockActivePerson(tx, principal.id)) !== null && rows.lockSession(tx, session)
}

/** Ends every session of an identity (`session.ended`) in the caller's transaction; resolves with how many. */
export async function endSessionsOf(tx: Tx, ctx: Ctx, identity: string, reason: string): Promise<number> {
  return recordEnds(tx, ctx, await rows.endSessions(tx, 'identity_id', identity), reason)
}

/** Ends every session that began with this provider or passkey (`session.ended`) in the caller's transaction. */
export async function endSessionsBy(tx: Tx, ctx: Ctx, by: 'provider_id' | 'passkey_id', id: string, reason: string): Promise<number> {
  return recordEnds(tx, ctx, await rows.endSessions(tx, by, id), reason)
}

/** Ends the sessions of a person that began at this provider (`session.ended`) in the caller's transaction; resolves with how many. */
export async function endSessionsAt(tx: Tx, ctx: Ctx, identity: string, provider: string, reason: string): Promise<number> {
  return recordEnds(tx, ctx, await rows.endSessions(tx, 'provider_id', provider, identity), reason)
}

/** What was made in a session for somebody else, and not used, ends with it. */
async function recordEnds(tx: Tx, ctx: Ctx, ended: readonly rows.EndedRow[], reason: string): Promise<number> {
  await dropCodesIn(
    tx,
    ended.map(({ id }) => id),
  )
  const events = ended.map(
    ({ id, identity, name }): EvidenceEvent => ({
      log: 'identity',
      type: 'session.ended',
      subject: name,
      links: { identity, session: id },
      data: { reason },
    }),
  )
  await append(tx, ctx, events)
  return ended.length
}

/** What a policy may know of a session. */
function resourceOf(id: string, owner: string): Resource {
  return { type: 'session', id, owner }
}

/** Live sessions, oldest first, without those that the asker may not see: `next` is the cursor of what follows, null at the end. */
export async function readSessions(
  sql: Sql,
  _ctx: Ctx,
  may: Allowed<'session:read'>,
  filter: { readonly identity?: string | undefined; readonly after?: string | undefined; readonly limit: number },
): Promise<{ readonly items: SessionView[]; readonly next: string | null }> {
  const { items, next } = await pageOfSeenById(filter, {
    read: (after, count) => rows.listSessions(sql, filter.identity ?? null, after, count),
    mine: (found) => found.filter((row) => may.can(resourceOf(row.id, row.identity))),
  })
  return { items: items.map(viewOf), next }
}

function viewOf({ created_at, authenticated_at, seen_at, ends_at, idle_seconds, ...rest }: rows.SessionRow): SessionView {
  const times = { createdAt: created_at, authenticatedAt: authenticated_at, seenAt: seen_at, endsAt: ends_at }
  return { ...rest, ...times, idleSeconds: idle_seconds }
}

/**
 * Ends one session (`session.ended`). Throws `not_found`, in the same words for one that has ended and for one that the asker may not
 * end.
 */
export async function endSession(store: Store, ctx: Ctx, may: Allowed<'session:end'>, id: string, reason: string): Promise<void> {
  const owner = isId(id) ? await rows.sessionOwner(store, id) : null
  if (owner === null || !may.can(resourceOf(id, owner))) throw new RekeyError('not_found', 'There is no such session.')
  await store.inTx(async (tx) => recordEnds(tx, ctx, await rows.endSessions(tx, 'id', id), reason))
}
