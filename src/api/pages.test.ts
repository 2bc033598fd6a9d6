import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ERRORS, type ErrorCode, RekeyError } from '../kernel/index.ts'
import { problemOf } from './errors.ts'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start({ requestsPerMinute: 200 })
})
afterAll(async () => {
  expect(server.undeclared()).toEqual([])
  await server.stop()
})

test.each(Object.keys(ERRORS) as ErrorCode[])(
  'the type of a %s leads to its page, without a token, as text that nobody takes for more',
  async (code) => {
    const { type } = problemOf(new RekeyError(code, 'x'), '/v1/rotations/x/undo')
    // From the path of any request, as a client resolves it.
    const { pathname } = new URL(type, `${server.url}/v1/rotations/x/undo?y`)
    const answer = await server.send('GET', pathname, { token: null })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('text/markdown; charset=utf-8')
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(answer.text).toBe(readFileSync(new URL(`../../docs/errors/${code}.md`, import.meta.url), 'utf8'))
  },
)

test('so does the type of a problem that was answered', async () => {
  const refused = await server.send('GET', '/v1/rotations', { token: null })
  expect(refused.status).toBe(401)
  expect((await server.send('GET', refused.body.type, { token: null })).text).toMatch(/^# `unauthenticated`\n/)
})

test.each([
  '/docs/errors',
  '/docs/errors/',
  '/docs/errors/not_found',
  '/docs/errors/NOT_FOUND.md',
  '/docs/errors/not_found.md/',
  '/docs/errors/not%5Ffound.md%00',
  '/docs/errors/nothing.md',
  '/docs/errors/../README.md',
  '/docs/errors/..%2FREADME.md',
  '/docs/errors/%2e%2e/README.md',
  '/docs/README.md',
  '/docs/openapi.json',
  '/docs/errors/../../package.json',
])('%s leads to no page', async (path) => {
  const { status, text } = await server.raw(path, {})
  expect([400, 404]).toContain(status)
  expect(text).toContain('"code":')
})

test('it is read only: POST is no way to it, and a name that is not this server is refused', async () => {
  expect((await server.send('POST', '/docs/errors/not_found.md', { body: {} })).status).toBe(404)
  const { status } = await server.raw('/docs/errors/not_found.md', { host: 'evil.example' })
  expect(status).toBe(403)
})

test('it is counted like everything that strangers ask', async () => {
  const statuses: number[] = []
  for (let n = 0; n < 210; n++) statuses.push((await server.send('GET', '/docs/errors/not_found.md', { token: null })).status)
  expect(statuses.at(-1)).toBe(429)
})
