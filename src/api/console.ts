/** The console's files: read into memory at the start, so that no path of a request ever reaches a file system. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

/** Where the files of the build lie; `base` of `console/vite.config.ts`. */
const BASE = '/console/'

/** The rooms, as the console's own router has them: each answers with the same page. */
export const ROOMS: readonly string[] = [
  '/',
  '/login',
  '/login/callback/:provider',
  '/enrol',
  '/me',
  '/approvals',
  '/approvals/:id',
  '/identities',
  '/identities/:identity',
  '/identities/:identity/:change',
  '/findings',
  '/usable',
  '/policies',
  '/policies/:policies',
]

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Nothing from elsewhere, nothing inline, in nobody's frame. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'self'",
].join('; ')

/** What a browser may keep: a file with a hash in its name never changes; the page that names them does. */
const FOR_EVER = 'public, max-age=31536000, immutable'
const NEVER = 'no-store'

interface ConsoleFile {
  readonly type: string
  readonly bytes: Buffer
  readonly gzipped: Buffer
}

/** The files of a build. */
export interface Console {
  readonly page: ConsoleFile
  /** By the path that they are asked for at. */
  readonly files: ReadonlyMap<string, ConsoleFile>
}

/** Reads a build. Null where there is none: then the rooms say how to make one. */
export function readConsole(folder: string): Console | null {
  const index = join(folder, 'index.html')
  if (!existsSync(index)) return null
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const found = names.flatMap((entry): [string, ConsoleFile][] => {
    const path = join(entry.parentPath, entry.name)
    const type = TYPES[extname(path)]
    return type === undefined || path === index ? [] : [[`${BASE}${path.slice(folder.length).replace(/^\//, '')}`, fileOf(path, type)]]
  })
  return { page: fileOf(index, TYPES['.html'] ?? ''), files: new Map(found) }
}

function fileOf(path: string, type: string): ConsoleFile {
  const bytes = readFileSync(path)
  return { type, bytes, gzipped: gzipSync(bytes) }
}

const UNBUILT = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Rekey</title>
<h1>The console is not built</h1>
<p>In the checkout of Rekey run <code>sh scripts/run.sh console</code>, then start <code>rekey serve</code> again.</p>
<p>The command line and the API work all the same.</p></html>
`

/** Registers the rooms and the files. No other path leads to them. */
export function registerConsole(app: FastifyInstance, built: Console | null): void {
  const page: ConsoleFile = built?.page ?? { type: TYPES['.html'] ?? '', bytes: Buffer.from(UNBUILT), gzipped: gzipSync(UNBUILT) }
  // The document of the interface is of the API alone.
  const schema = { hide: true }
  const config = { statuses: new Set(built === null ? [503] : [200]) }
  for (const room of ROOMS) {
    app.get(room, { config, schema }, async (request, reply) => answer(request, reply.code(built === null ? 503 : 200), page, NEVER))
  }
  for (const [path, file] of built?.files ?? []) app.get(path, { schema }, async (request, reply) => answer(request, reply, file, FOR_EVER))
}

/**
 * For an address that leads nowhere: the page, with 404, if a browser asked to see it as one. False, and nothing sent, for everybody else,
 * and below the paths of programs.
 */
export function answerNowhere(built: Console | null, request: FastifyRequest, reply: FastifyReply): boolean {
  const { method, url, headers } = request
  const page = method === 'GET' && /\btext\/html\b/.test(headers.accept ?? '') && !/^\/(v1|scim|console|docs)(\/|$|\?)/.test(url)
  if (!page || built === null) return false
  answer(request, reply.code(404), built.page, NEVER)
  return true
}

function answer(request: FastifyRequest, reply: FastifyReply, file: ConsoleFile, keep: string): FastifyReply {
  const gzip = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(request.headers['accept-encoding'] ?? '')
  reply.headers({ 'content-security-policy': POLICY, 'cache-control': keep, vary: 'accept-encoding' }).type(file.type)
  if (gzip) reply.header('content-encoding', 'gzip')
  return reply.send(gzip ? file.gzipped : file.bytes)
}
