import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOMS, readConsole } from './console.ts'
import { TestServer } from './testing.ts'

const PAGE = '<!doctype html><title>Rekey</title>'
const CODE = 'console.log(1)\n'.repeat(200)

let server: TestServer
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rekey-console-'))
  mkdirSync(join(folder, 'assets'))
  writeFileSync(join(folder, 'index.html'), PAGE)
  writeFileSync(join(folder, 'assets/index-a1.js'), CODE)
  writeFileSync(join(folder, 'assets/index-b2.css'), 'p{}')
  writeFileSync(join(folder, 'stamp.txt'), 'no file of a page')
  server = await TestServer.start({ console: readConsole(folder) })
})
afterAll(async () => {
  expect(server.undeclared()).toEqual([])
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const open = (path: string, headers: Record<string, string> = {}) => server.send('GET', path, { token: null, headers })

test('every room is the same page, kept by nobody, under the strict policy', async () => {
  expect(ROOMS.length).toBeGreaterThan(8)
  for (const room of ROOMS) {
    const answer = await open(room.replaceAll(/:\w+/g, 'some%20thing'))
    expect([answer.status, answer.text], room).toEqual([200, PAGE])
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('content-security-policy')).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    )
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer')
  }
})

test('files whose name carries their hash are kept for ever, compressed for who takes it', async () => {
  const code = await open('/console/assets/index-a1.js')
  expect(code.text).toBe(CODE)
  expect(code.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
  expect(code.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
  // fetch asks for compression by itself.
  expect(code.headers.get('content-encoding')).toBe('gzip')
  const plain = await open('/console/assets/index-a1.js', { 'accept-encoding': 'gzip;q=0' })
  expect([plain.headers.get('content-encoding'), plain.text]).toEqual([null, CODE])
  expect((await open('/console/assets/index-b2.css')).headers.get('content-type')).toBe('text/css; charset=utf-8')
})

test.each([
  '/console/',
  '/console/index.html',
  '/console/stamp.txt',
  '/console/assets/',
  '/console/assets/index-c3.js',
  '/console/assets/..%2f..%2fpackage.json',
  '/console/../package.json',
  '/console/assets/%2e%2e/stamp.txt',
  '/console/assets/index-a1.js%00.html',
  '/src/main.ts',
  '/.rekey/admin.token',
])('%s leads to no file', async (path) => {
  // As it is written: a client could clean it up before it asks.
  const { status, text } = await server.raw(path, {})
  expect([400, 404]).toContain(status)
  expect(text).not.toContain(PAGE)
})

test('a browser that goes nowhere is shown the page with 404; everybody else, and every path of programs, gets the problem', async () => {
  const html = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }
  const page = await open('/nowhere', html)
  expect([page.status, page.text, page.headers.get('cache-control')]).toEqual([404, PAGE, 'no-store'])
  expect(page.headers.get('content-security-policy')).toContain("script-src 'self'")
  const others = [
    open('/nowhere'),
    open('/nowhere', { accept: '*/*' }),
    ...['/v1/nowhere', '/v1', '/scim/x', '/console/x'].map((path) => open(path, html)),
  ]
  for (const answer of await Promise.all(others)) {
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'application/problem+json; charset=utf-8'])
  }
  expect((await server.send('POST', '/nowhere', { token: null, headers: html })).body.code).toBe('not_found')
})

test('what was changed on disk after the start is not what is served', async () => {
  writeFileSync(join(folder, 'assets/index-a1.js'), 'evil()')
  expect((await open('/console/assets/index-a1.js')).text).toBe(CODE)
})

test('the document of the interface is of the API alone', async () => {
  const paths = Object.keys((await server.get('/v1/openapi.json')).body.paths)
  expect(paths.length).toBeGreaterThan(50)
  expect(paths.filter((path) => !/^\/(v1\/|healthz|readyz|metrics)/.test(path))).toEqual([])
})

test('answers of the API are kept by nobody, and under their own policy', async () => {
  const answer = await server.get('/v1/status')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('content-security-policy')).not.toContain('script-src')
})

test('without a build each room says how to make one, and the API works', async () => {
  const bare = await TestServer.start({ console: readConsole(join(folder, 'nothing')) })
  try {
    const answer = await bare.send('GET', '/identities', { token: null })
    expect(answer.status).toBe(503)
    expect(answer.text).toContain('sh scripts/run.sh console')
    expect((await bare.get('/v1/status')).status).toBe(200)
    expect(bare.undeclared()).toEqual([])
  } finally {
    await bare.stop()
  }
})
