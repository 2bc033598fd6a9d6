import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { type Client, openClient, parseServerUrl, problemOf } from './client.ts'
import { EXIT, exitOf } from './exit.ts'

const folder = mkdtempSync(join(tmpdir(), 'rekey-client-'))
const tokenFile = join(folder, 'token')
writeFileSync(tokenFile, 'the-token\n', { mode: 0o600 })
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
})

const config = (url: string, token = tokenFile) => ({ url, tokenFile: token, serverUid: null, data: folder, color: false })

async function serving(answer: RequestListener): Promise<{ client: Client; url: string; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    seen.push(request)
    answer(request, response)
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { client: await openClient(config(url), () => {}), url, seen }
}

test.each([
  ['http://127.0.0.1:7395', 'http://127.0.0.1:7395/'],
  ['http://127.1', 'http://127.0.0.1/'],
  ['http://0x7f000001/', 'http://127.0.0.1/'],
  ['http://localhost:1', 'http://localhost:1/'],
  ['http://[::1]:1/base', 'http://[::1]:1/base/'],
  ['http://0.0.0.0:5', 'http://127.0.0.1:5/'],
  ['http://[::]:5', 'http://[::1]:5/'],
  ['https://rekey.example.com', 'https://rekey.example.com/'],
])('%s is an address to speak to', (text, href) => expect(parseServerUrl(text).href).toBe(href))

test.each([
  'http://rekey.example.com',
  'http://127.0.0.1.example.com',
  'http://127.example.com',
  'http://localhost.example.com',
  'http://10.0.0.1',
  'http://[::ffff:10.0.0.1]',
  'http://[fe80::1]',
  'http://user:pass@127.0.0.1',
  'http://127.0.0.1?x',
  'ftp://127.0.0.1',
  '127.0.0.1:7395',
  '',
])('%j is refused', (text) => expect(() => parseServerUrl(text)).toThrow(expect.objectContaining({ code: 'config_invalid' })))

test('an address that is refused keeps its password to itself', () => {
  expect(() => parseServerUrl('http://user:hunter2@127.0.0.1')).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('hunter2') }),
  )
})

test('the token goes in the header, without its line break', async () => {
  const { client, seen } = await serving((_, response) => response.end('{"a":1}'))
  expect(await client.get('/v1/status', { x: 'é&', none: undefined })).toEqual({ a: 1 })
  expect(seen[0]?.headers.authorization).toBe('Bearer the-token')
  expect(seen[0]?.url).toBe('/v1/status?x=%C3%A9%26')
  expect(seen[0]?.headers['idempotency-key']).toBeUndefined()
})

test('a token that is none is not quoted', async () => {
  const path = join(folder, 'bad')
  writeFileSync(path, 'se cret\n', { mode: 0o600 })
  await expect(openClient(config('http://127.0.0.1:1', path), () => {})).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.not.stringContaining('cret'),
  })
})

test('a token that others can read is warned of', async () => {
  const path = join(folder, 'open')
  writeFileSync(path, 'token')
  chmodSync(path, 0o644)
  const warnings: string[] = []
  await openClient(config('http://127.0.0.1:1', path), (text) => warnings.push(text))
  expect(warnings).toEqual([expect.stringContaining('can be read by others')])
})

test('without a token a missing server is said first, then the missing token', async () => {
  const missing = join(folder, 'missing')
  const error = await openClient(config('http://127.0.0.1:1', missing), () => {}).catch((e) => e)
  expect(exitOf(error)).toBe(EXIT.noServer)
  const { url } = await serving((_, response) => response.end())
  const second = await openClient(config(url, missing), () => {}).catch((e) => e)
  expect(second).toMatchObject({ code: 'config_invalid', message: expect.stringContaining('missing') })
  expect(exitOf(second)).toBe(EXIT.usage)
})

test('a problem keeps its code, hint and faults', async () => {
  const faults = [{ message: 'm', path: 'p', line: 3 }]
  const { client } = await serving((_, response) => {
    response.writeHead(422, { 'content-type': 'application/problem+json' })
    response.end(JSON.stringify({ code: 'fleet_invalid', title: 't', detail: 'd', hint: 'h', faults }))
  })
  await expect(client.get('/v1/x')).rejects.toMatchObject({ code: 'fleet_invalid', message: 'd', hint: 'h', faults })
})

test.each([
  ['{"code":"novelty","detail":"d"}', { code: 'internal', message: 'd' }],
  ['{"code":"__proto__","title":"t"}', { code: 'internal', message: 't' }],
  ['{"error":"x"}', { code: 'unavailable', message: expect.stringContaining('502') }],
  ['<html>', { code: 'unavailable' }],
  ['', { code: 'unavailable' }],
])('the answer %j is a problem', async (body, wanted) => {
  expect(await problemOf(new Response(body, { status: 502 }))).toMatchObject(wanted)
})

test('a redirect is not followed: the token would go along', async () => {
  const { client, seen } = await serving((_, response) => response.writeHead(302, { location: '/elsewhere' }).end())
  await expect(client.get('/v1/x')).rejects.toMatchObject({ code: 'unavailable', hint: expect.stringContaining('redirects') })
  expect(seen).toHaveLength(1)
})

test('what is not JSON is refused', async () => {
  const { client } = await serving((_, response) => response.end('<html>'))
  await expect(client.get('/v1/x')).rejects.toMatchObject({ code: 'internal' })
})

test('a lost answer is asked for again, with the same idempotency key', async () => {
  let requests = 0
  const { client, seen } = await serving((request, response) => {
    if (++requests === 1) request.socket.destroy()
    else response.end('{}')
  })
  await client.post('/v1/rotations', {}, { startsWork: true })
  const keys = seen.map(({ headers }) => headers['idempotency-key'])
  expect(keys).toHaveLength(2)
  expect(keys[0]).toBe(keys[1])
})

test('without an idempotency key a lost answer is not asked for again', async () => {
  const { client, seen } = await serving((request) => request.socket.destroy())
  const error = await client.post('/v1/x', {}, { startsWork: false }).catch((e) => e)
  expect(exitOf(error)).toBe(EXIT.noServer)
  expect(seen).toHaveLength(1)
})

test('lists are read page after page', async () => {
  const { client, seen } = await serving((request, response) => {
    const after = new URL(request.url ?? '', 'http://x').searchParams.get('after')
    response.end(JSON.stringify(after === null ? { items: [1, 2], next: 'c d' } : { items: [3], next: null }))
  })
  expect(await client.all('/v1/x', { system: 's' })).toEqual([1, 2, 3])
  expect(await client.all('/v1/x', {}, 1)).toEqual([1])
  expect(seen.map(({ url }) => url)).toEqual(['/v1/x?system=s&limit=500', '/v1/x?system=s&after=c+d&limit=500', '/v1/x?limit=1'])
})

test('a stream that breaks off in the middle says so', async () => {
  const { client } = await serving((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('event: progress\ndata: {}\n\n')
    setTimeout(() => request.socket.destroy(), 50)
  })
  const events = client.events('/v1/x', new AbortController().signal)
  expect((await events.next()).value).toEqual({ event: 'progress', data: '{}' })
  await expect(events.next()).rejects.toMatchObject({ message: expect.stringContaining('was lost') })
})

test('a stream ends quietly when nobody waits any more', async () => {
  const stop = new AbortController()
  const { client } = await serving((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
  })
  const events = client.events('/v1/x', stop.signal)
  await events.next()
  stop.abort()
  expect(await events.next()).toEqual({ value: undefined, done: true })
})
