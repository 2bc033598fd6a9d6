/**
 * Routes of SCIM (RFC 7644): other methods, another content type, another error body and other tokens than /v1, so another declaration.
 * They are no part of the OpenAPI document: SCIM describes itself under /Schemas and /ResourceTypes.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { authenticateScim, BASE, isObject, type JsonObject, type ScimClient, ScimError } from '../identity/scim/index.ts'
import { type Ctx, type Json, makeCtx, RekeyError } from '../kernel/index.ts'
import type { PolicySet } from '../policy/index.ts'
import { Admission, boundBody } from './admission.ts'
import { logFailure, problemOf, StatusError } from './errors.ts'
import { tokenOf } from './limit.ts'
import type { ApiParts } from './parts.ts'
import type { ServerParts } from './register.ts'

/** RFC 7644 section 3.1. */
const SCIM_TYPE = 'application/scim+json; charset=utf-8'
const ERROR_URN = 'urn:ietf:params:scim:api:messages:2.0:Error'
/** Users are small; a group may be set with thousands of members at once. */
const USER_BYTES = 256 * 1024
export const GROUP_BYTES = 4 * 1024 * 1024

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** What a handler is given. */
export interface ScimCall {
  readonly parts: ApiParts
  readonly ctx: Ctx
  readonly client: ScimClient
  /** Of the path; empty where it has none. */
  readonly id: string
  readonly query: JsonObject
  /** Undefined if nothing was sent. */
  readonly body: Json | undefined
  readonly ifMatch: string | null
}

export interface ScimAnswer {
  readonly status: number
  readonly body?: JsonObject
  readonly headers?: Readonly<Record<string, string>>
}

export interface ScimRoute {
  readonly method: Method
  /** Below the base: `/Users/:id`. */
  readonly path: `/${string}`
  /** Statuses of success, and of refusals of its own beside those that every route may answer. */
  readonly statuses: readonly number[]
  readonly bodyBytes?: number
  readonly handle: (call: ScimCall) => Promise<ScimAnswer>
}

/** Who pushes, and the policies by which it may. */
interface Pusher {
  readonly client: ScimClient
  readonly set: PolicySet
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The provider that asks; null outside SCIM and before authentication. */
    scim: ScimClient | null
    /** By which it is asked again; null as `scim`. */
    scimAdmission: Admission<Pusher> | null
  }
}

/** Statuses that any route may answer. */
const COMMON = [304, 400, 401, 403, 404, 408, 409, 412, 413, 415, 429, 500, 503]

/** Declares a route of SCIM. Authentication, content types and errors are the server's. */
export function scimRoute(route: ScimRoute): ScimRoute {
  return { ...route, bodyBytes: route.bodyBytes ?? USER_BYTES }
}

/** Puts the routes on the server, in a context of their own. */
export async function registerScim(app: FastifyInstance, routes: readonly ScimRoute[], server: ServerParts): Promise<void> {
  app.decorateRequest('scim', null)
  app.decorateRequest('scimAdmission', null)
  await app.register(
    async (scim) => {
      takeScimJson(scim)
      scim.setErrorHandler((error: FastifyError, request, reply) => sendError(server, request, reply, error))
      scim.setNotFoundHandler({ preHandler: scim.rateLimit() }, notFound(routes))
      // What comes in is checked by the protocol's own data, and what goes out is made of it.
      scim.setValidatorCompiler(() => () => true)
      scim.setSerializerCompiler(() => (data) => JSON.stringify(data))
      for (const route of routes) add(scim, route, server)
    },
    { prefix: BASE },
  )
}

function takeScimJson(scim: FastifyInstance): void {
  scim.removeAllContentTypeParsers()
  scim.addContentTypeParser(['application/scim+json', 'application/json'], { parseAs: 'string' }, (request, text, done) => {
    // Some clients name a type where they send nothing.
    if (text === '') return done(null, undefined)
    try {
      done(null, JSON.parse(String(text)))
    } catch {
      done(new ScimError(400, 'invalidSyntax', 'The request body is not valid JSON.'), request)
    }
  })
}

function add(scim: FastifyInstance, route: ScimRoute, server: ServerParts): void {
  scim.route({
    method: route.method,
    url: route.path,
    ...(route.bodyBytes === undefined ? {} : { bodyLimit: route.bodyBytes }),
    config: { statuses: new Set([...COMMON, ...route.statuses]) },
    schema: { hide: true },
    // After the rate limit and before the body is read: a stranger cannot make us parse anything.
    preParsing: async (request, reply) => {
      await admit(server, request)
      boundBody(request, reply, route.bodyBytes ?? USER_BYTES)
    },
    handler: async (request, reply) => {
      const admission = request.scimAdmission
      if (admission === null) throw unauthenticated()
      // The body may have come long after the headers.
      const pusher = await admission.now()
      const { client } = pusher
      request.scim = client
      const answer = await route.handle({
        parts: { ...server.parts, store: admission.storeFor(server.parts.store, pusher) },
        ctx: ctxOf(server, request, client),
        client,
        id: (request.params as { readonly id?: string }).id ?? '',
        query: request.query as JsonObject,
        body: request.body as Json | undefined,
        ifMatch: request.headers['if-match'] ?? null,
      })
      const { status, headers = {}, body } = atOrigin(answer, server.origins(request).at(-1))
      reply.headers(headers)
      // RFC 7644 section 3.14: who has this version is sent nothing.
      if (route.method === 'GET' && status === 200 && isKnown(request.headers['if-none-match'], headers.etag)) return reply.code(304).send()
      reply.code(status)
      return body === undefined ? reply.send() : reply.type(SCIM_TYPE).send(body)
    },
  })
}

/** Entity tags are compared weakly (RFC 9110 section 13.1.2). */
function isKnown(ifNoneMatch: string | undefined, etag: string | undefined): boolean {
  if (ifNoneMatch === undefined || etag === undefined) return false
  const weak = (tag: string) => tag.trim().replace(/^W\//, '')
  return ifNoneMatch.trim() === '*' || ifNoneMatch.split(',').map(weak).includes(weak(etag))
}

/** With whole URIs where it says where things are (RFC 7643 section 3.1), if the server knows under which name it is asked. */
function atOrigin(answer: ScimAnswer, origin: string | undefined): ScimAnswer {
  if (origin === undefined) return answer
  const { headers, body } = answer
  return {
    ...answer,
    ...(headers?.location === undefined ? {} : { headers: { ...headers, location: `${origin}${headers.location}` } }),
    ...(body === undefined ? {} : { body: located(body, origin) }),
  }
}

/** `meta.location` and each `$ref`, however deep: what is sent there is ours, of a shape that the schemas bound. */
function located(body: JsonObject, origin: string): JsonObject {
  const whole = Object.entries(body).map(([key, value]): [string, Json] => {
    const isPlace = (key === '$ref' || key === 'location') && typeof value === 'string' && value.startsWith(`${BASE}/`)
    return [key, isPlace ? `${origin}${value}` : locatedIn(value, origin)]
  })
  return Object.fromEntries(whole)
}

function locatedIn(value: Json, origin: string): Json {
  if (Array.isArray(value)) return value.map((each: Json) => locatedIn(each, origin))
  return isObject(value) ? located(value, origin) : value
}

function ctxOf({ clock, log }: ServerParts, request: FastifyRequest, client: ScimClient | null): Ctx {
  const actor = client === null ? 'anybody' : `scim:${client.provider}`
  // A directory may have several tokens, known to several people.
  const proof: Ctx['proof'] = client === null ? {} : { scim_token: client.tokenId }
  return makeCtx(actor, request.id, { clock, log, signal: request.gone.signal, proof })
}

async function admit(server: ServerParts, request: FastifyRequest): Promise<void> {
  const again = () => whoPushes(server, request)
  const who = await again()
  request.scimAdmission = new Admission({ clock: server.clock, who, again, alike: isAlike })
  request.scim = who.client
}

/** No token, a wrong one and one of /v1 get the same answer. */
async function whoPushes(server: ServerParts, request: FastifyRequest): Promise<Pusher> {
  const token = tokenOf(request)
  const { store, policies } = server.parts
  const client = token === null ? null : await authenticateScim(store, ctxOf(server, request, null), policies, token)
  // From then on a provider's requests are counted for its token, not with all others of its address.
  if (token !== null) server.known.note(token, client !== null)
  if (client === null) throw unauthenticated()
  return { client, set: policies.set }
}

function isAlike(one: Pusher, other: Pusher): boolean {
  const facts = ({ client: { may: _may, ...rest } }: Pusher) => JSON.stringify(rest)
  return one.set === other.set && facts(one) === facts(other)
}

function unauthenticated(): RekeyError {
  return new RekeyError('unauthenticated', 'No valid token was presented.')
}

/** RFC 7644 section 3.12. Of a fault of ours the client learns no more than from /v1. */
function sendError({ log }: ServerParts, request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply {
  logFailure(log, request.id, error)
  const problem = problemOf(error, '')
  const [status, scimType] = error instanceof ScimError ? [error.status, error.scimType] : [problem.status, null]
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  const body = { schemas: [ERROR_URN], status: String(status), ...(scimType === null ? {} : { scimType }), detail: problem.detail }
  return reply.code(status).type(SCIM_TYPE).send(JSON.stringify(body))
}

/** 405 where the path exists under another method. */
function notFound(routes: readonly ScimRoute[]) {
  const shapes = routes.map(({ path, method }) => ({
    method,
    pattern: new RegExp(`^${BASE}${path.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`),
  }))
  return async (request: FastifyRequest, reply: FastifyReply): Promise<never> => {
    const path = request.url.split('?', 1)[0] ?? ''
    const methods = [...new Set(shapes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))]
    if (methods.length === 0) throw new RekeyError('not_found', 'There is no such path.')
    reply.header('allow', methods.join(', '))
    throw new StatusError(405, 'bad_input', `This path does not take ${request.method}.`)
  }
}
