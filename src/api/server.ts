import type { Socket } from 'node:net'
import { fastifyCookie } from '@fastify/cookie'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { IssuerKeys, KnownLater, KnownTokens, TokenUses } from '../identity/index.ts'
import { type Ctx, newId, RekeyError } from '../kernel/index.ts'
import { Cursors, RequestPrints } from '../keys/index.ts'
import { deviceTokenOf, type Sites, sessionTokenOf, sitesOf } from './browser.ts'
import { answerNowhere, type Console, registerConsole } from './console.ts'
import { challengeOf, logFailure, PROBLEM_TYPE, problemOf, StatusError } from './errors.ts'
import { BatchWatch } from './events.ts'
import { hostGuard, originsOf } from './hosts.ts'
import { type CookiesOf, limitOptions } from './limit.ts'
import { makeMetrics } from './metrics.ts'
import { documentOptions } from './openapi.ts'
import { registerPages } from './pages.ts'
import type { ApiParts } from './parts.ts'
import { register, type ServerParts } from './register.ts'
import type { Route } from './route.ts'
import { ROUTES } from './routes/index.ts'
import { SCIM_ROUTES } from './routes/scim/index.ts'
import { registerScim } from './scim.ts'

/** Where the server listens, and what bounds it. */
export interface ServerOptions {
  /** Port 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number }
  readonly ctx: Ctx
  /** Requests with one valid token, or of one address (IPv6: of one /64) without, in a minute before it is refused for the rest. */
  readonly requestsPerMinute?: number
  /** Networks (`address/prefix`) of proxies: from them `X-Forwarded-For` says who asks, from nobody else. None unless given. */
  readonly trustProxies?: readonly string[]
  /** What browsers call this server, where that is not the name of loopback that they reach it by; also what a
   * proof of possession (RFC 9449) names. */
  readonly publicUrl?: string | null
  /** The pages for browsers; null where they were not built. Without it there are none. */
  readonly console?: Console | null
  /** Nothing but `/healthz`, `/readyz` and `/metrics`: for a worker that is watched. */
  readonly probesOnly?: boolean
}

/** A server that listens. */
export interface RunningServer {
  /** Where it listens, with the port it got. */
  readonly url: string
  /** Ends event streams, lets other requests finish, stops listening. */
  close(): Promise<void>
}

/** A whole request must arrive in this time, a small one sooner: the largest body takes 4 s at 70 Mbit/s. */
const REQUEST_MS = 60_000
const HEADERS_MS = 10_000
/** How often Node looks for requests that took too long: its own 30 s would let them live for so much longer. */
const LOOK_MS = 1_000
/** URL-encoded names are up to nine times as long as their characters. */
const PARAM_CHARS = 2_000
const PROBES: readonly string[] = ['/healthz', '/readyz', '/metrics']

declare module 'fastify' {
  interface FastifyContextConfig {
    statuses?: ReadonlySet<number>
  }
}

/** Starts the HTTP server. Rejects with `config_invalid` if it cannot listen there. */
export async function startServer(parts: ApiParts, options: ServerOptions): Promise<RunningServer> {
  const routes = options.probesOnly ? ROUTES.filter(({ path }) => PROBES.includes(path)) : ROUTES
  const { app, known, endStreams } = await buildApp(parts, options, routes)
  await known.load(parts.store)
  const { host, port } = options.listen
  try {
    await app.listen({ host, port })
  } catch (error) {
    await app.close()
    const code = (error as { code?: string }).code ?? 'unknown'
    throw new RekeyError('config_invalid', `Rekey cannot listen on ${host}:${port} (${code}).`, {
      cause: error,
      hint: 'Choose another REKEY_LISTEN.',
    })
  }
  const bound = app.server.address()
  const name = host.includes(':') ? `[${host}]` : host
  return {
    url: `http://${name}:${typeof bound === 'object' && bound !== null ? bound.port : port}`,
    async close() {
      endStreams()
      await app.close()
    },
  }
}

/** The server without its socket: for `startServer`, and for producing the document of its interface. */
export async function buildApp(parts: ApiParts, options: ServerOptions, routes: readonly Route[] = ROUTES) {
  const { ctx } = options
  const app = fastify({
    logger: false,
    trustProxy: options.trustProxies?.length ? [...options.trustProxies] : false,
    exposeHeadRoutes: false,
    requestTimeout: REQUEST_MS,
    http: { headersTimeout: HEADERS_MS, connectionsCheckingInterval: LOOK_MS },
    routerOptions: { maxParamLength: PARAM_CHARS },
    genReqId: () => newId(ctx.clock.now().getTime()),
    frameworkErrors: (error, request, reply) => sendProblem(ctx, request, reply, error),
    clientErrorHandler: refuseMalformed,
  })
  // Only JSON is left: a page can send text/plain to another origin without asking first.
  app.removeContentTypeParser('text/plain')
  const endStreams = watchClients(app)
  // fastify says null where nothing was sent; schemas know that as undefined.
  app.setValidatorCompiler((of) => {
    const validate = validatorCompiler(of as Parameters<typeof validatorCompiler>[0])
    return (data: unknown) => validate(data ?? undefined)
  })
  app.setSerializerCompiler(serializerCompiler)
  app.setErrorHandler((error, request, reply) => sendProblem(ctx, request, reply, error))
  const { publicUrl = null } = options
  app.addHook('onRequest', hostHook(options.listen.host, publicUrl))
  logRequests(app, ctx)
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], styleSrc: ["'unsafe-inline'"], frameAncestors: ["'none'"] },
    },
    // What terminates TLS decides this.
    strictTransportSecurity: false,
    crossOriginResourcePolicy: { policy: 'same-origin' },
  })
  // Only its parser and writer are used, where a cookie counts.
  await app.register(fastifyCookie, { hook: false })
  const known = new KnownTokens()
  const sites = sitesOf(publicUrl, options.listen.host)
  const bearers = { store: parts.store, keys: new IssuerKeys(parts.guard), uses: new TokenUses(parts.store, ctx) }
  const knowing = { known, later: new KnownLater(parts.store, ctx, bearers.keys), clock: ctx.clock }
  await app.register(rateLimit, limitOptions(knowing, cookiesOf(sites), options.requestsPerMinute))
  await app.register(swagger, documentOptions(parts.version))
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, notFound(routes, options.console ?? null))
  const metrics = makeMetrics(parts)
  const batches = new BatchWatch(parts.store, ctx)
  const server: ServerParts = {
    parts,
    cursors: new Cursors(parts.fingerprintKey),
    prints: new RequestPrints(parts.fingerprintKey),
    known,
    sites,
    bearers,
    origins: originsOf(options.listen.host, options.publicUrl),
    batches,
    clock: ctx.clock,
    log: ctx.log,
    openapi: () => app.swagger(),
    metrics: metrics.text,
  }
  for (const route of routes) register(app, route, server)
  if (!options.probesOnly) await registerScim(app, SCIM_ROUTES, server)
  if (!options.probesOnly) registerPages(app)
  if (options.console !== undefined) registerConsole(app, options.console)
  app.addHook('onClose', async () => metrics.close())
  app.addHook('onClose', () => batches.close())
  app.addHook('onClose', () => bearers.uses.close())
  await app.ready()
  return { app, known, endStreams }
}

/** What of a request's cookies tells whose it is. */
function cookiesOf(sites: Sites): CookiesOf {
  return {
    session: (request) => sessionTokenOf(request, sites(request)),
    device: (request) => deviceTokenOf(request, sites(request)),
  }
}

/**
 * Each request's `gone` aborts when its connection closes before the answer is out; all of them when the returned function is
 * called. From then on a connection ends with its answer: one kept alive would hold up the stop for as long as its client likes.
 */
function watchClients(app: FastifyInstance): () => void {
  const open = new Set<AbortController>()
  let stopping = false
  app.decorateRequest('caller', null)
  app.decorateRequest('admission', null)
  // Set for each request by the hook below, before anything reads it.
  app.decorateRequest('gone', null as unknown as AbortController)
  app.addHook('onRequest', async (request, reply) => {
    const gone = new AbortController()
    request.gone = gone
    open.add(gone)
    reply.raw.once('close', () => {
      open.delete(gone)
      if (!reply.raw.writableFinished) gone.abort()
      if (stopping) request.raw.socket.end()
    })
  })
  return () => {
    stopping = true
    for (const gone of open) gone.abort()
  }
}

function hostHook(listenHost: string, publicUrl: string | null) {
  const guard = hostGuard(listenHost, publicUrl)
  return async (request: FastifyRequest) => guard(request)
}

/** One line a request: the route as declared, never the URL, headers or body. */
function logRequests(app: FastifyInstance, { log }: Ctx): void {
  app.addHook('onSend', async (request, reply, payload) => {
    reply.header('x-request-id', request.id)
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    return payload
  })
  app.addHook('onResponse', async (request, reply) => {
    const { url, config } = request.routeOptions
    const status = reply.statusCode
    const fields = { requestId: request.id, method: request.method, route: url ?? null, status, ms: Math.round(reply.elapsedTime) }
    if (config.statuses !== undefined && !config.statuses.has(status)) log.error(fields, 'undeclared status')
    const actor = request.caller?.principal.id ?? request.scim?.tokenId ?? null
    if (url !== undefined && /^\/(v1|scim)\//.test(url)) log.info({ ...fields, actor }, 'request')
  })
}

function sendProblem(ctx: Ctx, request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply {
  logFailure(ctx.log, request.id, error)
  const problem = problemOf(error, pathOf(request.url))
  if (problem.status === 401) reply.header('www-authenticate', challengeOf(error))
  // As text: the bytes are ours, whatever the route's schemas say.
  return reply.code(problem.status).type(PROBLEM_TYPE).send(JSON.stringify(problem))
}

function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? url
}

/** 405 where the path exists under another method; the console's own page for who looks with a browser. */
function notFound(routes: readonly Route[], built: Console | null) {
  const shapes = routes.map(({ path, method }) => ({
    method,
    pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`),
  }))
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const path = pathOf(request.url)
    const methods = [...new Set(shapes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))]
    if (methods.length === 0 && answerNowhere(built, request, reply)) return reply
    if (methods.length === 0) throw new RekeyError('not_found', 'There is no such path.', { hint: 'See /v1/openapi.json.' })
    reply.header('allow', methods.join(', '))
    throw new StatusError(405, 'bad_input', `This path does not take ${request.method}.`, { hint: `It takes ${methods.join(', ')}.` })
  }
}

/** What does not even parse as HTTP never becomes a request. */
function refuseMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return void socket.destroy()
  const body = JSON.stringify(problemOf(new RekeyError('bad_input', 'The request is not valid HTTP.'), '/'))
  const head = [
    'HTTP/1.1 400 Bad Request',
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
