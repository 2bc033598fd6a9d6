import { get } from 'node:http'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { makeCtx, newId } from '../kernel/index.ts'
import { hostName, isLoopback } from './hosts.ts'
import { type Answer, BODY_BYTES, route } from './route.ts'
import { buildApp, startServer } from './server.ts'
import { range, TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

describe('problems', () => {
  test('an unknown path is a problem', async () => {
    const answer = await server.get('/v1/nothing?canary=1')
    expect(answer.status).toBe(404)
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    expect(answer.body).toMatchObject({ type: 'docs/errors/not_found.md', status: 404, code: 'not_found', instance: '/v1/nothing' })
  })

  test.each(['DELETE', 'PUT', 'PATCH', 'OPTIONS'])('%s where only others are taken is 405 with what is', async (method) => {
    const answer = await server.send(method, '/v1/rotations')
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')?.split(', ').sort()).toEqual(['GET', 'POST'])
    expect(answer.body.code).toBe('bad_input')
    // No page of another origin learns that it may send more.
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  })

  test.each([
    ['not JSON', '{"names": [canary-7731', 400],
    ['no object', '"canary-7731"', 400],
    ['a wrong type', '{"names": "canary-7731"}', 400],
    ['a wrong value', '{"all": "canary-7731"}', 400],
    ['a wrong item', '{"names": [{"x": "canary-7731"}]}', 400],
    ['a NUL', '{"names": ["canary-7731\\u0000"]}', 400],
    ['half a surrogate pair', '{"names": ["canary-7731\\ud800"]}', 400],
    ['two selections', '{"names": ["canary-7731"], "all": true}', 400],
    ['no selection', '{}', 400],
    ['an empty selection', '{"names": []}', 400],
    ['prototype poisoning', '{"all": true, "__proto__": {"x": "canary-7731"}}', 400],
    ['too much', `{"names": ["${'canary-7731'.repeat(BODY_BYTES / 10)}"]}`, 413],
  ])('a body with %s is refused and not quoted', async (_what, body, status) => {
    const answer = await server.post('/v1/rotations', body)
    expect(answer.status).toBe(status)
    expect(answer.text).not.toContain('canary-7731')
    expect(JSON.stringify(server.lines)).not.toContain('canary-7731')
  })

  test('a body of another type is refused before it is read', async () => {
    const answer = await server.send('POST', '/v1/rotations', { body: 'all=true', headers: { 'content-type': 'text/plain' } })
    expect(answer.status).toBe(415)
  })

  test.each([
    '/v1/rotations/%zz',
    '/v1/rotations/not-an-id',
    '/v1/credentials/%00',
    `/v1/credentials/${'x'.repeat(500)}`,
    '/v1/rotations?limit=0',
  ])('%s is malformed, which is the fault of who asks', async (path) => {
    const answer = await server.get(path)
    expect(answer.status).toBe(400)
    expect(answer.body.code).toBe('bad_input')
  })

  test('what is not HTTP gets a problem and an end', async () => {
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write('hello\r\n\r\n'))
      let seen = ''
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        seen += chunk
      })
      socket.on('end', () => resolve(seen)).on('error', reject)
    })
    expect(text).toMatch(/^HTTP\/1.1 400 /)
    expect(text).toContain('"code":"bad_input"')
  })

  test('a failure of ours says nothing but a code; the log has where, under the request id, and not what', async () => {
    const broken = await startServer(
      { ...server.parts, figures: { ...server.parts.figures, evidence: () => Promise.reject(new Error('canary-5512')) } },
      { listen: { host: '127.0.0.1', port: 0 }, ctx: makeCtx('test', 'test', { log: logOf(server) }) },
    )
    const answer = await fetch(`${broken.url}/v1/status`, { headers: { authorization: `Bearer ${server.token}` } })
    const text = await answer.text()
    await broken.close()
    expect(answer.status).toBe(500)
    expect(JSON.parse(text).code).toBe('internal')
    const line = server.lines.find(
      ({ message, fields }) => message === 'a request failed' && fields.requestId === answer.headers.get('x-request-id'),
    )
    expect(line?.fields.frames).not.toEqual([])
    expect(text + JSON.stringify(server.lines)).not.toContain('canary-5512')
  })
})

/** Transactions of this test's database. */
async function commits(): Promise<number> {
  await server.db.store.query('select pg_stat_force_next_flush()')
  const [row] = await server.db.store.query<{ count: number }>(
    'select xact_commit::int as count from pg_stat_database where datname = current_database()',
  )
  return row?.count ?? 0
}

const logOf = ({ lines }: TestServer) => ({
  info: () => undefined,
  warn: () => undefined,
  error: (fields: Record<string, unknown>, message: string) => void lines.push({ level: 'error', fields, message }),
})

describe('declarations hold', () => {
  const built = async (answer: Answer) => {
    const lines: string[] = []
    const ctx = makeCtx('test', 'test', { log: { ...logOf(server), error: (_fields, message) => void lines.push(message) } })
    const one = route({
      method: 'GET',
      path: '/v1/one',
      summary: 'One.',
      action: null,
      answers: { 200: { what: 'It', schema: z.object({ number: z.int() }) } },
      problems: [],
      handle: async () => answer,
    })
    const { app } = await buildApp(server.parts, { listen: { host: '127.0.0.1', port: 0 }, ctx }, [one])
    const { statusCode, body } = await app.inject({ url: '/v1/one', headers: { host: 'localhost' } })
    await app.close()
    return { statusCode, body, lines }
  }

  test('a status that a route does not declare is logged as such, which fails every test here', async () => {
    expect((await built({ status: 202, body: { number: 1 } })).lines).toContain('undeclared status')
    expect((await built({ status: 200, body: { number: 1 } })).lines).toEqual([])
  })

  test('an answer that is not what the route declares is a failure of ours; fields that are not declared stay here', async () => {
    expect((await built({ status: 200, body: { number: 'canary-3321' } })).statusCode).toBe(500)
    expect((await built({ status: 200, body: { number: 1, secret: 'canary-3321' } })).body).toBe('{"number":1}')
  })
})

describe('strangers', () => {
  test.each(['localhost', 'localhost:80', '127.0.0.1', '127.0.0.1:1', '[::1]:7395', 'LOCALHOST'])('Host %s is ours', async (host) => {
    expect((await server.raw('/healthz', { host })).status).toBe(200)
  })

  test.each([
    'evil.example',
    'evil.example:7395',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '127.0.0.1@evil.example',
    '169.254.1.1',
  ])('Host "%s" is refused: a page may have had its name pointed at us', async (host) => {
    const answer = await server.raw('/healthz', { host })
    expect(answer.status).toBe(403)
    expect(JSON.parse(answer.text).code).toBe('forbidden')
  })

  test.each(['https://evil.example', 'null', 'http://localhost.evil.example:1'])('Origin %s is refused', async (origin) => {
    expect((await server.raw('/healthz', { host: 'localhost', origin })).status).toBe(403)
  })

  test('Origin of our own is taken', async () => {
    expect((await server.raw('/healthz', { host: '127.0.0.1', origin: server.url })).status).toBe(200)
  })

  test('loopback is told from the rest, and a host header from other text', () => {
    expect(['127.0.0.1', '127.8.8.8', '::1', 'localhost'].map(isLoopback)).toEqual([true, true, true, true])
    expect(['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example', '128.0.0.1'].map(isLoopback)).toEqual([false, false, false, false, false])
    expect(['[::1]:80', 'A.b:1', 'a b', 'a:b:c', ':80'].map(hostName)).toEqual(['[::1]', 'a.b', null, null, null])
  })

  test.each([
    ['with a token', undefined],
    ['without one', null],
  ])('a rate limit is not evaded by a changing X-Forwarded-For, %s', async (_how, token) => {
    const limited = await TestServer.start({ requestsPerMinute: 20 })
    const statuses: number[] = []
    for (let n = 0; n < 30; n++) {
      const headers = { 'x-forwarded-for': `10.0.0.${n}`, 'x-real-ip': `10.0.1.${n}`, forwarded: `for=10.0.2.${n}` }
      statuses.push(
        (await limited.send('GET', n % 2 ? '/v1/rotations' : '/v1/nothing', { headers, ...(token === null ? { token } : {}) })).status,
      )
    }
    const last = await limited.send('GET', '/v1/rotations', token === null ? { token } : {})
    await limited.stop()
    expect(statuses.slice(0, 20)).not.toContain(429)
    expect(statuses.slice(20)).toEqual(Array.from({ length: 10 }, () => 429))
    expect(last.body.code).toBe('too_many_requests')
    expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  test('from a trusted proxy its last X-Forwarded-For tells who asks, and what a client wrote before it does not', async () => {
    const limited = await TestServer.start({ requestsPerMinute: 20, trustProxies: ['127.0.0.0/8'] })
    const ask = async (from: string) =>
      (await limited.send('GET', '/v1/rotations', { headers: { 'x-forwarded-for': from }, token: null })).status
    const flood: number[] = []
    for (let n = 0; n < 25; n++) flood.push(await ask(`198.51.100.${n}, 203.0.113.66`))
    expect(flood.indexOf(429)).toBe(20)
    expect(await ask('198.51.100.7')).toBe(401)
    // One that is no address at all is nobody's name either.
    for (let n = 0; n < 21; n++) await ask(`nonsense-${n}`)
    expect(await ask('nonsense-99')).toBe(429)
    await limited.stop()
  })

  test('a stranger who uses up the limit takes nothing from the holder of a token, nor from those who watch the process', async () => {
    const limited = await TestServer.start({ requestsPerMinute: 20 })
    const stranger = (n: number, path = '/v1/rotations') => limited.send('GET', path, { token: n % 2 ? null : `rekey_wrong-${n}` })
    const statuses: number[] = []
    for (let n = 0; n < 40; n++) statuses.push((await stranger(n)).status)
    expect(statuses).toEqual(statuses.map((_, n) => (n < 20 ? 401 : 429)))
    // His first request of all: it is known before anybody has asked the database about it.
    expect((await limited.get('/v1/rotations')).status).toBe(200)
    const open = await Promise.all(range(40).map((n) => stranger(1, n % 2 ? '/healthz' : '/readyz')))
    expect(new Set(open.map(({ status }) => status))).toEqual(new Set([200]))
    expect((await stranger(1, '/metrics')).status).toBe(429)
    // The holder's own limit is not without end.
    const own = []
    for (let n = 0; n < 25; n++) own.push((await limited.get('/v1/rotations')).status)
    expect(own.indexOf(429)).toBe(19)
    await limited.stop()
  })

  test('a token that is revoked is refused at once, and is a stranger’s from then on', async () => {
    const limited = await TestServer.start({ requestsPerMinute: 20 })
    expect((await limited.get('/v1/rotations')).status).toBe(200)
    await limited.db.store.query('update api_token set revoked_at = now()')
    expect((await limited.get('/v1/rotations')).status).toBe(401)
    const statuses: number[] = []
    for (let n = 0; n < 25; n++) statuses.push((await limited.send('GET', '/v1/rotations', { token: null })).status)
    expect(statuses.indexOf(429)).toBe(20)
    expect((await limited.get('/v1/rotations')).status).toBe(429)
    await limited.stop()
  })

  test('another address of loopback is no other address', async () => {
    const limited = await TestServer.start({ requestsPerMinute: 20 })
    const from = (localAddress: string) =>
      new Promise<number>((resolve, reject) => {
        get(`${limited.url}/v1/rotations`, { localAddress }, (answer) => {
          answer.resume()
          resolve(answer.statusCode ?? 0)
        }).on('error', reject)
      })
    const statuses: number[] = []
    for (let n = 0; n < 25; n++) statuses.push(await from(`127.0.0.${n + 2}`))
    await limited.stop()
    expect(statuses.indexOf(429)).toBe(20)
  })

  test('/readyz asks the database once for many that ask at one moment', async () => {
    const before = await commits()
    const answers = await Promise.all(range(200).map(() => server.send('GET', '/readyz', { token: null })))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect((await commits()) - before).toBeLessThan(40)
  })

  test('nobody may frame an answer, sniff its type or keep it', async () => {
    const { headers } = await server.get('/v1/systems')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('x-powered-by')).toBeNull()
  })
})

describe('the process', () => {
  test('health, readiness and figures need no token', async () => {
    for (const path of ['/healthz', '/readyz', '/metrics', '/v1/openapi.json'])
      expect((await server.send('GET', path, { token: null })).status).toBe(200)
  })

  test('without its database it lives, is not ready, says so in its figures, and refuses with 503', async () => {
    const lonely = await TestServer.start()
    const { database } = lonely.db.connection
    expect((await lonely.get('/readyz')).status).toBe(200)
    await server.db.store.query(`alter database ${database} allow_connections false`)
    await server.db.store.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [database])
    await expect.poll(async () => (await lonely.get('/readyz')).status, { timeout: 10_000 }).toBe(503)
    expect((await lonely.get('/healthz')).status).toBe(200)
    const metrics = await lonely.get('/metrics')
    expect(metrics.status).toBe(200)
    expect(metrics.text).toMatch(/^rekey_database_up 0$/m)
    expect(metrics.text).not.toMatch(/^rekey_rotations\{/m)
    const refused = await lonely.get('/v1/status')
    expect(refused.status).toBe(503)
    expect(refused.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    await server.db.store.query(`alter database ${database} allow_connections true`)
    await expect.poll(async () => (await lonely.get('/readyz')).status, { timeout: 10_000 }).toBe(200)
    await lonely.stop()
  })

  test('a port that is taken is said so', async () => {
    const port = Number(new URL(server.url).port)
    const started = startServer(server.parts, { listen: { host: '127.0.0.1', port }, ctx: makeCtx('test', newId()) })
    await expect(started).rejects.toMatchObject({ code: 'config_invalid' })
  })

  test('the log has a line for each request, with neither token nor URL', async () => {
    const { headers } = await server.get('/v1/credentials/canary-8841')
    const line = server.lines.find(({ fields }) => fields.requestId === headers.get('x-request-id'))
    expect(line?.fields).toMatchObject({ method: 'GET', route: '/v1/credentials/:name', status: 404 })
    const log = JSON.stringify(server.lines)
    expect(log).not.toContain('canary-8841')
    expect(log).not.toContain(server.token)
  })
})

test('a request whose head is half sent is closed when its 10 s are over', async () => {
  const ctx = makeCtx('test', 'half')
  const running = await startServer(server.parts, { listen: { host: '127.0.0.1', port: 0 }, ctx })
  try {
    const { port } = new URL(running.url ?? '')
    const since = ctx.clock.monotonicMs()
    const socket = connect(Number(port), '127.0.0.1', () => socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n'))
    socket.resume()
    await new Promise((resolve) => socket.on('close', resolve))
    const tookMs = ctx.clock.monotonicMs() - since
    expect(tookMs).toBeGreaterThan(8_000)
    expect(tookMs).toBeLessThan(16_000)
  } finally {
    await running.close()
  }
}, 40_000)
