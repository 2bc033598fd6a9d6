/** Texts of policies that were made to break or to stop the server, sent by a token that may do nothing but check policies. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { range, TestServer } from './testing.ts'

let server: TestServer
let linter: string
beforeAll(async () => {
  server = await TestServer.start()
  const asked = { name: 'lint', roles: ['security-admin'], scope: ['policy:propose'], reason: 'checks policies in CI' }
  linter = (await server.post('/v1/tokens', asked)).body.token
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const check = (text: string) => server.send('POST', '/v1/policies/diff', { token: linter, body: { files: [{ name: 'x.cedar', text }] } })

/** What nobody has asked before, so that each is decided anew. */
const PATHS = ['/v1/status', '/v1/identities', '/v1/approvals', '/v1/tokens', '/v1/rotations', '/v1/policies', '/readyz']
async function stillDecides(): Promise<void> {
  for (const path of PATHS) expect([path, (await server.get(path)).status]).toEqual([path, 200])
}

test.each([160, 300, 20_000])('brackets %d deep are refused, and decisions are made as before', async (depth) => {
  const answer = await check(`permit (principal, action, resource) when { ${'('.repeat(depth)}true${')'.repeat(depth)} };`)
  expect([answer.status, answer.body.code]).toEqual([422, 'policy_invalid'])
  await stillDecides()
})

test.each(['\r', '\u2028', '\v'])('%j, which ends a line for some readers only, hides nothing behind a comment', async (end) => {
  const deep = `${'if principal.aal < 9 then '.repeat(450)}true${' else false'.repeat(450)}`
  for (const condition of [deep, `${'('.repeat(130)}true${')'.repeat(130)}`, 'true']) {
    const scope = 'principal in Role::"b", action == Action::"status:read", resource'
    const answer = await check(`permit (${scope})\n// only at night${end} when { ${condition} };\n`)
    expect([answer.status, answer.body.code]).toEqual([422, 'policy_invalid'])
    expect(answer.body.faults).toEqual([{ path: 'x.cedar', line: 2, message: expect.stringMatching(/^There is a .*: a line ends with/) }])
  }
  await stillDecides()
})

/**
 * The longest time for which the server worked without answering anybody, and the most that `/healthz` was waited for. In processor time
 * of the thread: on a busy machine the clock counts what others do.
 */
async function stallDuring<T>(work: Promise<T>): Promise<{ readonly answer: T; readonly stallMs: number }> {
  const cpuMs = () => (({ user, system }) => (user + system) / 1000)(process.threadCpuUsage())
  let stallMs = 0
  let last = cpuMs()
  let wrong = 0
  const beat = () => {
    const now = cpuMs()
    stallMs = Math.max(stallMs, now - last)
    last = now
  }
  const timer = setInterval(beat, 2)
  const asking = setInterval(() => void server.get('/healthz').then(({ status }) => (status === 200 ? 0 : wrong++)), 200)
  const answer = await work
  beat()
  clearInterval(timer)
  clearInterval(asking)
  expect(wrong).toBe(0)
  return { answer, stallMs }
}

test('a set that takes a minute to check is refused after a while, which keeps nobody waiting', async () => {
  const one = (n: number) => `@id("p${n}") permit(principal in Role::"r", action, resource) when { principal has identity };\n`
  const { answer, stallMs } = await stallDuring(check(range(4_500).map(one).join('')))
  console.info(`longest stall: ${stallMs.toFixed(0)} ms of processor time`)
  expect(answer.body).toMatchObject({ code: 'bad_input', detail: expect.stringMatching(/takes more than 20 s/) })
  expect(stallMs).toBeLessThan(500)
  await stillDecides()
}, 120_000)
