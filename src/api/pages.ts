/** The pages that explain the codes of problems, where a problem's `type` (RFC 9457 section 3.1.1) leads. */
import { existsSync, readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { ERRORS, type ErrorCode } from '../kernel/index.ts'

const FOLDER = new URL('../../docs/errors/', import.meta.url)
/** What any answer may be: the page; not under a name of this server; too many requests. */
const STATUSES: ReadonlySet<number> = new Set([200, 403, 429])

/** The page of a code at this server: a path from its root, so that it leads there from whatever path the problem was the answer of. */
export function errorPage(code: ErrorCode): string {
  return `/docs/errors/${code}.md`
}

/** Registers a path for each page, all read now: no path of a request ever reaches a file system. They are the same for everybody. */
export function registerPages(app: FastifyInstance): void {
  for (const code of Object.keys(ERRORS) as ErrorCode[]) {
    const file = new URL(`${code}.md`, FOLDER)
    if (!existsSync(file)) continue
    const text = readFileSync(file, 'utf8')
    app.get(errorPage(code), { config: { statuses: STATUSES }, schema: { hide: true } }, async (_request, reply) =>
      reply.type('text/markdown; charset=utf-8').send(text),
    )
  }
}
