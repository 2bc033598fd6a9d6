/** Turns declared routes into fastify's: authentication before the body is read, then permission, idempotency, work, answer. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import {
  authenticateAgain,
  authenticateBearer,
  authenticateSession,
  type BearerParts,
  type KnownTokens,
  keyOwner,
  makersBehind,
  readHandToken,
  type SessionHolder,
} from '../identity/index.ts'
import { type Clock, type Ctx, ERRORS, type ErrorCode, isCode, type Log, makeCtx, RekeyError, type Secret } from '../kernel/index.ts'
import type { Cursors, RequestPrints } from '../keys/index.ts'
import type { Principal } from '../policy/index.ts'
import { Admission, boundBody, TOO_LATE } from './admission.ts'
import { browserOf, pagesOf, requireOwnPage, type Sites, sessionTokenOf } from './browser.ts'
import { Problem } from './errors.ts'
import type { BatchWatch } from './events.ts'
import { once } from './idempotency.ts'
import { presentedOf, schemeOf, tokenOf } from './limit.ts'
import type { ApiParts } from './parts.ts'
import { type Answer, BODY_BYTES, type Caller, type Route } from './route.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; null before authentication and on open routes. */
    caller: Caller | null
    /** By which it is asked again who asks; null as `caller`. */
    admission: Admission<Caller> | null
    /** Aborts when nobody waits for the answer any more, or the server stops. */
    gone: AbortController
  }
}

/** What one server gives to every request. */
export interface ServerParts {
  readonly parts: ApiParts
  /** Cursors of lists as clients see them. */
  readonly cursors: Cursors
  /** What an Idempotency-Key is bound to. */
  readonly prints: RequestPrints
  /** Whose requests are counted by their token. */
  readonly known: KnownTokens
  readonly sites: Sites
  readonly bearers: BearerParts
  /** Under which addresses a request can have been sent. */
  readonly origins: (request: FastifyRequest) => readonly string[]
  readonly clock: Clock
  readonly log: Log
  readonly batches: BatchWatch
  readonly openapi: () => unknown
  readonly metrics: () => Promise<string>
}

/** Problems that any route may answer, and any that needs a token. */
const COMMON: readonly ErrorCode[] = ['bad_input', 'forbidden', 'too_many_requests', 'internal', 'unavailable', 'database_failed']
const WITH_TOKEN: readonly ErrorCode[] = ['unauthenticated', 'step_up_required']
const WITH_BODY: readonly ErrorCode[] = ['too_large']
const WITH_KEY: readonly ErrorCode[] = ['idempotency_reused', 'conflict']
/** A body that is not JSON. */
const UNSUPPORTED_MEDIA = 415

/** What a route without a query or a body takes of either: an unknown field is refused, never passed over. */
const NOTHING = z.strictObject({})

/** Every status that a route may answer with. */
export function statusesOf(route: Route): ReadonlySet<number> {
  const codes = problemsOf(route).map((code): number => ERRORS[code].status)
  return new Set([...Object.keys(route.answers).map(Number), ...codes, ...(route.method === 'POST' ? [UNSUPPORTED_MEDIA, TOO_LATE] : [])])
}

function problemsOf(route: Route): readonly ErrorCode[] {
  return [
    ...COMMON,
    ...(route.action === null ? [] : WITH_TOKEN),
    ...(route.method === 'POST' ? WITH_BODY : []),
    ...(route.startsWork ? WITH_KEY : []),
    ...route.problems,
  ]
}

export function register(app: FastifyInstance, route: Route, server: ServerParts): void {
  const { parts } = server
  const { bodyBytes = BODY_BYTES } = route
  app.route({
    method: route.method,
    url: route.path,
    bodyLimit: bodyBytes,
    config: { statuses: statusesOf(route), ...(route.unlimited ? { rateLimit: false as const } : {}) },
    schema: schemaOf(route),
    // After the rate limit (onRequest) and before the body is read: a stranger cannot make us parse 32 MiB.
    preParsing: async (request, reply) => {
      if (route.action !== null) await admit(server, route, request)
      boundBody(request, reply, bodyBytes)
    },
    preValidation: async (request: FastifyRequest) => openCursor(server, route, request),
    handler: async (request, reply) => {
      if (route.ownPages) requireOwnPage(request, server.sites(request))
      // The body may have come long after the headers.
      const caller = await stillAsking(request)
      const key = request.headers['idempotency-key']
      if (!route.startsWork || key === undefined || caller === null)
        return send(reply, route, sealCursor(server, route, await route.handle(await callOf(server, route, request))))
      const owner = keyOwner(caller.principal)
      const fingerprint = server.prints.textOf([owner, String(key)], boundOf(route, request))
      const again = { owner, key: String(key), fingerprint, still: () => stillAsking(request) }
      const answer = await once(parts.store, ctxOf(server, request), again, async () => route.handle(await callOf(server, route, request)))
      return send(reply, route, answer)
    },
  })
}

/** Who asks now; null on open routes. */
async function stillAsking(request: FastifyRequest): Promise<Caller | null> {
  if (request.admission !== null) request.caller = await request.admission.now()
  return request.caller
}

async function callOf(server: ServerParts, route: Route, request: FastifyRequest) {
  const { parts, sites } = server
  const { caller, admission } = request
  // What it sets up remembers who stands behind it; what only reads sets nothing up.
  const behind = caller === null || route.method === 'GET' ? null : await makersBehind(parts.store, caller.principal)
  const session = caller === null && route.ownPages ? await sessionOf(server, request, 'first') : (caller?.session ?? null)
  const guarded = caller !== null && admission !== null && route.recordsLate !== true
  return {
    ctx: { ...ctxOf(server, request), behind },
    parts: guarded ? { ...parts, store: admission.storeFor(parts.store, caller) } : parts,
    may: caller?.may ?? null,
    principal: caller?.principal ?? null,
    again: caller === null ? null : () => askedAgain(server, route, request),
    session,
    pages: () => pagesOf(sites(request)),
    browser: () => browserOf(request, sites(request), session),
    params: request.params,
    query: request.query,
    body: request.body,
    openapi: server.openapi,
    metrics: server.metrics,
    batches: server.batches,
  }
}

const listOf = ({ method, path }: Route): string => `${method} ${path}`

/** A client sends back what `sealCursor` gave it; from here on it is what the list itself said. */
function openCursor({ cursors }: ServerParts, route: Route, request: FastifyRequest): void {
  const query = request.query as { after?: unknown } | undefined
  if (route.method !== 'GET' || query?.after === undefined) return
  query.after = typeof query.after === 'string' ? cursors.open(listOf(route), query.after) : query.after
}

/** Where a page ends may be a row that the asker may not see: its name or id is not for them. */
function sealCursor({ cursors }: ServerParts, route: Route, answer: Answer): Answer {
  const { body } = answer
  if (route.method !== 'GET' || typeof body !== 'object' || body === null || !('items' in body) || !('next' in body)) return answer
  return typeof body.next === 'string' ? { ...answer, body: { ...body, next: cursors.seal(listOf(route), body.next) } } : answer
}

function ctxOf({ clock, log }: ServerParts, request: FastifyRequest, principal = request.caller?.principal): Ctx {
  const actor = principal === undefined ? 'anybody' : actorOf(principal)
  const who = { actorName: principal?.name ?? null, proof: principal?.proof ?? {} }
  return makeCtx(actor, request.id, { clock, log, signal: request.gone.signal, ...who })
}

/** As evidence names it; of an agent with whom it acts for. */
function actorOf({ kind, id, actsFor }: Principal): string {
  return actsFor === null ? `${kind}:${id}` : `${kind}:${id} for ${actsFor.identity}`
}

async function admit(server: ServerParts, route: Route, request: FastifyRequest): Promise<void> {
  const caller = await whoAsks(server, route, request, 'first')
  const again = () => whoAsks(server, route, request, 'again')
  request.admission = new Admission({ clock: server.clock, who: caller, again, alike: isAlike })
  request.caller = caller
}

/** Whether both may the same: by who they are, how they proved it, and the policies. */
function isAlike(one: Caller, other: Caller): boolean {
  return one.set === other.set && textOf(one.principal) === textOf(other.principal)
}

/** Without when they logged in: of the makers of a token that is the moment of the question. How old a login may be was asked again. */
function textOf(principal: Principal): string {
  return JSON.stringify(principal, (name, value: unknown) => (name === 'authenticatedAt' ? undefined : value))
}

/** For answers that take long: null once they may no more. */
async function askedAgain(server: ServerParts, route: Route, request: FastifyRequest): Promise<Caller | null> {
  try {
    return await whoAsks(server, route, request, 'again')
  } catch (error) {
    if (isCode(error, 'unauthenticated') || isCode(error, 'forbidden') || isCode(error, 'step_up_required')) return null
    throw error
  }
}

/** `again`: a session is not kept awake by it, and a token or a proof that counts once is not used up by it. */
type Shown = 'first' | 'again'

/** No token, a wrong one and a session that has ended get the same answer. */
async function whoAsks(server: ServerParts, route: Route, request: FastifyRequest, shown: Shown): Promise<Caller> {
  const { policies } = server.parts
  // A token that is sent counts alone: what a browser adds by itself never helps it.
  const bearer = request.headers.authorization !== undefined
  const session = await (bearer ? handSessionOf(server, request, shown) : sessionOf(server, request, shown))
  if (!bearer && session !== null && route.method !== 'GET') requireOwnPage(request, server.sites(request))
  const principal = session?.principal ?? (await bearerOf(server, request, shown))
  if (principal === null || route.action === null) {
    throw new RekeyError('unauthenticated', 'No valid token was presented.', {
      hint: 'Send Authorization: Bearer with the token of the token file.',
    })
  }
  const { set } = policies
  return { principal, session, set, may: policies.allow(ctxOf(server, request, principal), principal, route.action) }
}

async function bearerOf(server: ServerParts, request: FastifyRequest, shown: Shown): Promise<Principal | null> {
  const { bearers, known, origins } = server
  const token = tokenOf(request)
  if (token === null || readHandToken(token) !== null) return null
  const authenticate = shown === 'first' ? authenticateBearer : authenticateAgain
  const principal = await authenticate(bearers, ctxOf(server, request), presentedOf(request, token, origins))
  known.note(token, principal !== null)
  return principal
}

/** The session of a person on the command line, who sends it as a token. */
async function handSessionOf(server: ServerParts, request: FastifyRequest, shown: Shown): Promise<SessionHolder | null> {
  const token = tokenOf(request)
  return liveSession(server, token === null || schemeOf(request) !== 'bearer' ? null : readHandToken(token), shown)
}

async function sessionOf(server: ServerParts, request: FastifyRequest, shown: Shown): Promise<SessionHolder | null> {
  return liveSession(server, sessionTokenOf(request, server.sites(request)), shown)
}

async function liveSession({ parts, known }: ServerParts, token: Secret | null, shown: Shown): Promise<SessionHolder | null> {
  if (token === null) return null
  const session = await authenticateSession(parts.store, token, shown === 'first' ? 'use' : 'watch')
  known.note(token, session !== null)
  return session
}

/** What an Idempotency-Key is bound to. */
function boundOf(route: Route, request: FastifyRequest): readonly unknown[] {
  const body = route.boundBy === undefined ? request.body : route.boundBy(request.body)
  return [route.method, request.url, body ?? null]
}

function send(reply: FastifyReply, route: Route, answer: Answer): FastifyReply {
  reply.code(answer.status)
  // A list is a header for each.
  for (const [name, value] of Object.entries(answer.headers ?? {})) reply.header(name, value)
  const type = route.answers[answer.status]?.type
  if (type !== undefined) reply.type(type)
  return reply.send(answer.text ?? answer.body)
}

function schemaOf(route: Route) {
  const { params, method, query = NOTHING } = route
  const body = route.body ?? (method === 'POST' ? NOTHING.optional() : undefined)
  const responses: Record<string, unknown> = {}
  for (const [status, { what, schema, type }] of Object.entries(route.answers)) responses[status] = responseOf(what, schema, type)
  for (const status of new Set(problemsOf(route).map((code) => ERRORS[code].status))) {
    const codes = [...new Set(problemsOf(route).filter((code) => ERRORS[code].status === status))]
    responses[status] = {
      description: codes.map((code) => ERRORS[code].title).join('; '),
      content: { 'application/problem+json': { schema: Problem } },
    }
  }
  return {
    summary: route.summary,
    tags: [areaOf(route)],
    ...(params ? { params } : {}),
    querystring: query,
    ...(body ? { body } : {}),
    ...(route.action === null ? { security: [] } : {}),
    response: responses,
  }
}

function responseOf(description: string, schema: Route['answers'][number]['schema'], type?: string) {
  if (schema !== null) return { description, content: { 'application/json': { schema } } }
  return type === undefined ? z.undefined().describe(description) : { description, content: { [type]: { schema: z.string() } } }
}

function areaOf(route: Route): string {
  const [, version, area] = route.path.split('/')
  return version === 'v1' ? (area ?? '') : 'process'
}
