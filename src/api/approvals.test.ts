/** Approvals over HTTP by tokens: what waits, what they may see and take back, and that no token decides. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { decideByHand, sendDue } from '../identity/index.ts'
import { makeCtx, newId, Secret } from '../kernel/index.ts'
import { principal } from '../policy/testing.ts'
import { bypassApprovalRoute } from './routes/approvals/bypass-approval.ts'
import { TestServer } from './testing.ts'

let server: TestServer
let crew = ''
const people: string[] = []
const ctx = makeCtx('test', 'test')
beforeAll(async () => {
  server = await TestServer.start()
  crew = (await server.post('/v1/teams', { name: 'crew' })).body.id
  for (const name of ['ada', 'bob']) people.push((await server.post('/v1/identities', { name, kind: 'human' })).body.id)
  await server.post(`/v1/teams/${crew}/members`, { add: { identities: people }, remove: {} })
})
afterAll(() => server.stop())
afterEach(() => expect(server.undeclared()).toEqual([]))

const rule = (changes: object = {}) =>
  server.post('/v1/approval-rules', {
    action: 'identity:offboard',
    factors: [{ team: crew, count: 1 }],
    reason: 'two pairs of eyes',
    ...changes,
  })
const gone = async () => (await server.post('/v1/identities', { name: `gone ${newId()}`, kind: 'human' })).body.id
const offboard = (id: string, headers: Record<string, string> = {}) =>
  server.post(`/v1/identities/${id}/offboard`, { reason: 'contract ended' }, headers)

test('what needs approval answers 409 with the request, is done after it, and the same key is no obstacle', async () => {
  expect((await rule()).status).toBe(200)
  const id = await gone()
  const key = { 'idempotency-key': newId() }
  const first = await offboard(id, key)
  expect(first.status).toBe(409)
  expect(first.body).toMatchObject({ code: 'approval_required', type: '/docs/errors/approval_required.md' })
  const approval = first.body.approval
  const shown = (await server.get(`/v1/approvals/${approval}`)).body
  expect(shown).toMatchObject({
    state: 'requested',
    action: 'identity:offboard',
    mine: true,
    what: { identity: id, reason: 'contract ended' },
  })
  expect(shown.factors).toMatchObject([{ teamName: 'crew', count: 1, lacking: 1, approvers: [{ name: 'ada' }, { name: 'bob' }] }])
  const by = principal({ id: people[0] ?? '', identity: people[0] ?? '', kind: 'person', aal: 2, authenticatedAt: new Date() })
  const may = server.parts.policies.allow(ctx, by, 'approval:decide')
  await decideByHand(server.parts, ctx, may, by, approval, {
    decision: 'approve',
    reason: 'read it',
    digest: shown.digest,
    proof: null,
    session: null,
  })
  const second = await offboard(id, key)
  expect(second.status).toBe(200)
  expect(second.body.status).toBe('offboarded')
  expect((await server.get(`/v1/approvals/${approval}`)).body.state).toBe('consumed')
})

test('a token decides nothing, whatever its roles; it may withdraw what it asked for', async () => {
  await rule()
  const { approval } = (await offboard(await gone())).body
  const { digest } = (await server.get(`/v1/approvals/${approval}`)).body
  for (const verb of ['approve', 'reject', 'bypass']) {
    const answer = await server.post(`/v1/approvals/${approval}/${verb}`, { digest, reason: 'because I can do it' })
    expect(answer.status).toBe(403)
  }
  expect((await server.post(`/v1/approvals/${approval}/take-back`, { reason: 'no' })).status).toBe(403)
  expect((await server.post(`/v1/approvals/${approval}/withdraw`, { reason: 'never mind' })).body.state).toBe('withdrawn')
  expect((await server.post(`/v1/approvals/${approval}/withdraw`, { reason: 'never mind' })).status).toBe(409)
})

test('lists page by their cursors', async () => {
  await rule()
  for (let n = 0; n < 3; n++) await offboard(await gone())
  const seen: string[] = []
  for (let after = ''; ; ) {
    const page = (await server.get(`/v1/approvals?of=requested&limit=2${after}`)).body
    seen.push(...page.items.map((it: { id: string }) => it.id))
    if (page.next === null) break
    after = `&after=${page.next}`
  }
  expect(new Set(seen).size).toBe(seen.length)
  expect(seen.length).toBeGreaterThanOrEqual(3)
  expect([...seen].sort().reverse()).toEqual(seen)
  expect((await server.get('/v1/approvals?of=decide')).body).toEqual({ items: [], next: null })
})

test('rules: nothing that asks for nobody, and gone when removed', async () => {
  for (const factors of [
    [],
    [{ team: crew, count: 0 }],
    [{ team: crew, count: 1, aal: 0 }],
    [{ team: 'crew', count: 1 }],
    [{ count: 1 }],
  ]) {
    expect((await rule({ factors })).status).toBe(400)
  }
  expect((await rule({ factors: [{ team: crew, count: 3 }] })).status).toBe(400)
  await rule()
  expect((await server.get('/v1/approval-rules')).body.items).toMatchObject([{ action: 'identity:offboard', expiresSeconds: 86_400 }])
  expect((await server.post('/v1/approval-rules/identity:offboard/remove', { reason: 'enough' })).status).toBe(204)
  expect((await server.post('/v1/approval-rules/identity:offboard/remove', { reason: 'enough' })).status).toBe(404)
  expect((await offboard(await gone())).status).toBe(200)
})

test('a channel: its secret is taken and never given, a notice goes through it, and a failed one is listed', async () => {
  const got: string[] = []
  let status = 200
  const receiver = createServer((request, response) => {
    request.on('data', (chunk) => got.push(String(chunk)))
    request.on('end', () => response.writeHead(status).end())
  })
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  try {
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
    const secret = Secret.fromText(`key of a webhook ${newId()}`)
    const encoded = secret.reveal((bytes) => Buffer.from(bytes).toString('base64'))
    const body = { name: 'chat', secret: encoded, webhook: { url, link: 'https://rekey.example.com' } }
    const made = await server.post('/v1/notify/channels', body)
    expect(made.status).toBe(201)
    expect(made.text + (await server.get('/v1/notify/channels')).text).not.toContain(encoded)
    expect((await server.post('/v1/notify/channels', body)).status).toBe(409)
    expect((await server.post('/v1/notify/channels', { ...body, name: 'other', secret: 'c2hvcnQ=' })).status).toBe(400)
    expect((await server.post('/v1/notify/channels/chat/test')).body).toEqual({ sent: true, fault: null })
    await rule()
    const { approval } = (await offboard(await gone())).body
    await sendDue({ store: server.db.store, keyring: server.parts.keyring, guard: server.parts.guard }, ctx)
    expect(got.join()).toContain(approval)
    status = 500
    expect((await server.post('/v1/notify/channels/chat/test')).body.sent).toBe(false)
    const failed = (await server.get('/v1/notify/deliveries?state=failed&limit=1')).body
    expect(failed.items).toMatchObject([{ channel: 'chat', event: 'test', fault: 'the webhook answered with status 500' }])
    const all = (await server.get('/v1/notify/deliveries?limit=1')).body
    const rest = (await server.get(`/v1/notify/deliveries?after=${encodeURIComponent(all.next)}`)).body
    expect(rest.items.map((it: { id: string }) => it.id)).not.toContain(all.items[0].id)
    expect(rest.items.length).toBeGreaterThanOrEqual(2)
    expect((await server.post('/v1/notify/channels/chat/remove')).status).toBe(204)
    expect((await server.post('/v1/notify/channels/chat/remove')).status).toBe(404)
  } finally {
    receiver.closeAllConnections()
    await new Promise((resolve) => receiver.close(resolve))
  }
})

test('a bypass for a short reason is refused in words', () => {
  const parsed = bypassApprovalRoute.body?.safeParse({ digest: 'a'.repeat(64), reason: 'short' })
  expect(parsed?.error?.issues.map(({ message }) => message)).toEqual(['The reason of a bypass has at least 10 characters.'])
})
