import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { LIMITS, newId, sleep } from '../kernel/index.ts'
import { fleetText, TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const input = (count: number) => ({ text: fleetText(count), folder: server.folder })
const base64 = (text: string) => Buffer.from(text).toString('base64')

test('diff, apply, look: the whole way of a declaration', async () => {
  const diff = await server.post('/v1/fleet/diff', input(2))
  expect(diff.status).toBe(200)
  expect(diff.body.needed.map((one: { for: string }) => one.for).sort()).toEqual(['credential:app-0', 'credential:app-1', 'system:db'])
  const secrets = Object.fromEntries(
    ['system:db', 'credential:app-0', 'credential:app-1'].map((name) => [name, base64(`canary-1177-${name}`)]),
  )
  const applied = await server.post('/v1/fleet/apply', { ...input(2), digest: diff.body.digest, prune: false, secrets, authorities: {} })
  expect(applied.status).toBe(200)
  expect(applied.body.applied.removed).toBe(0)
  const shown = await server.get('/v1/credentials/app-0')
  expect(shown.body).toMatchObject({
    credential: { name: 'app-0', currentKnown: true },
    versions: [{ number: 1, valueHeld: true }],
    consumers: [{ name: 'app' }],
  })
  expect((await server.get('/v1/systems')).body.items).toMatchObject([{ name: 'db', credentials: 2 }])
  const again = await server.post('/v1/fleet/diff', input(2))
  expect(again.body.changes).toEqual([])
  const status = await server.get('/v1/status')
  expect(status.body.counts).toEqual({
    systems: 1,
    identities: 1,
    credentials: 2,
    liveRotations: 0,
    blocked: 0,
    decommissioned: 0,
    notProvable: 0,
  })
  for (const answer of [diff, applied, shown, status]) expect(answer.text).not.toContain('canary-1177')
})

test('a diff that is out of date is refused', async () => {
  const answer = await server.post('/v1/fleet/apply', { ...input(3), digest: 'old', prune: false, secrets: {}, authorities: {} })
  expect(answer.status).toBe(409)
  expect(answer.body.code).toBe('plan_changed')
})

test('faults of the file come with their lines', async () => {
  const answer = await server.post('/v1/fleet/diff', { text: 'version: 1\nsurprise: 2\n', folder: server.folder })
  expect(answer.status).toBe(422)
  expect(answer.body.faults[0]).toMatchObject({ line: 2 })
})

test('a file larger than other bodies may be is taken, one larger than files may be is not', async () => {
  const padded = `${fleetText(2)}${`# ${'x'.repeat(100)}\n`.repeat(2_000)}`
  expect((await server.post('/v1/fleet/diff', { ...input(2), text: padded })).status).toBe(200)
  expect((await server.post('/v1/fleet/diff', { ...input(2), text: 'x'.repeat(LIMITS.fleetBytes + 1) })).status).toBe(400)
})

test('a request that is cut off ends the parse', async () => {
  const cut = new AbortController()
  const body = JSON.stringify({ text: '- a\n'.repeat(LIMITS.fleetBytes / 4), folder: server.folder })
  const headers = { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' }
  const first = fetch(`${server.url}/v1/fleet/diff`, { method: 'POST', headers, body, signal: cut.signal }).catch(() => 'cut')
  await sleep(700)
  cut.abort()
  expect(await first).toBe('cut')
  // Files are read one at a time: this one would wait for the other's end, which takes seconds.
  const startedMs = performance.now()
  const padded = `${fleetText(2)}${`# ${'x'.repeat(100)}\n`.repeat(2_000)}`
  expect((await server.post('/v1/fleet/diff', { ...input(2), text: padded })).status).toBe(200)
  expect(performance.now() - startedMs).toBeLessThan(3_000)
})

test.each(['SIGABRT', 'SIGKILL', 'SIGSEGV'] as const)('a parser that ends by %s is told, and the server goes on', async (signal) => {
  const text = `# canary-3317\n${'- a\n'.repeat(LIMITS.fleetBytes / 4 - 10)}`
  const first = server.post('/v1/fleet/diff', { text, folder: server.folder })
  const ended = await untilParser((pid) => process.kill(pid, signal))
  expect(ended).toBe(true)
  const answer = await first
  expect(answer.status).toBe(500)
  expect(answer.body).toMatchObject({ code: 'internal', detail: 'The parser of fleet files died; nothing was applied.' })
  expect(server.lines.filter(({ level }) => level === 'error').at(-1)?.fields).toMatchObject({ detail: signal })
  expect(answer.text + JSON.stringify(server.lines)).not.toContain('canary-3317')
  const padded = `${fleetText(2)}${`# ${'x'.repeat(100)}\n`.repeat(2_000)}`
  expect((await server.post('/v1/fleet/diff', { ...input(2), text: padded })).status).toBe(200)
})

/** Does that to the parser as soon as it runs; false if it never did. */
async function untilParser(act: (pid: number) => void): Promise<boolean> {
  for (let tries = 0; tries < 1_000; tries++) {
    for (const name of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      if (!isParser(name)) continue
      act(Number(name))
      return true
    }
    await sleep(10)
  }
  return false
}

function isParser(pid: string): boolean {
  try {
    const [, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return parent === String(process.pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('node\0--max-old')
  } catch {
    return false
  }
}

test.each([
  ['not base64', 'canary-6644!!'],
  ['too long', base64('canary-6644'.repeat(1_000))],
  ['an object', { value: 'canary-6644' }],
  ['a list', ['canary-6644']],
  ['empty', ''],
])('a secret that is %s is refused and neither quoted nor logged', async (_what, value) => {
  const answer = await server.post('/v1/fleet/apply', { ...input(3), digest: 'd', secrets: { 'system:db': value }, authorities: {} })
  expect(answer.status).toBe(400)
  expect(answer.body.faults[0].path).toBe('body.secrets.system:db')
  const seen = answer.text + JSON.stringify(server.lines)
  for (const form of ['canary-6644', base64('canary-6644')]) expect(seen).not.toContain(form)
})

test('applied under an Idempotency-Key, nothing of the secrets is in what is kept', async () => {
  const key = { 'idempotency-key': newId() }
  const { digest } = (await server.post('/v1/fleet/diff', input(4))).body
  const secret = 'canary-9920-value'
  const secrets = { 'credential:app-2': base64(secret), 'credential:app-3': base64(secret) }
  const ask = () => server.post('/v1/fleet/apply', { ...input(4), digest, prune: false, secrets, authorities: {} }, key)
  const answers = [await ask(), await ask()]
  expect(answers.map(({ status }) => status)).toEqual([200, 200])
  expect(answers[1]?.text).toBe(answers[0]?.text)
  const other = { ...secrets, 'credential:app-3': base64('canary-9920-other') }
  const reused = await server.post('/v1/fleet/apply', { ...input(4), digest, prune: false, secrets: other, authorities: {} }, key)
  expect([reused.status, reused.body.code]).toEqual([422, 'idempotency_reused'])
  const kept = JSON.stringify(await server.db.store.query('select to_jsonb(i) from idempotency i'))
  expect(kept).toContain('app-2')
  const dump = JSON.stringify(server.lines) + kept + JSON.stringify(await server.db.store.query('select to_jsonb(e) from evidence_event e'))
  for (const form of [secret, base64(secret), Buffer.from(secret).toString('hex')]) expect(dump).not.toContain(form)
  expect(spawnSync('ps', ['-ww', '-o', 'args=', '-p', String(process.pid)], { encoding: 'utf8' }).stdout).not.toContain('canary')
})
