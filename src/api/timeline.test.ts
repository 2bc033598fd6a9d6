import { afterAll, beforeAll, expect, test } from 'vitest'
import { append } from '../evidence/index.ts'
import { makeCtx, newId } from '../kernel/index.ts'
import { TestServer } from './testing.ts'

let server: TestServer
let identity: string
beforeAll(async () => {
  server = await TestServer.start()
  await server.declare(2)
  identity = (await server.get('/v1/identities/app')).body.id
})
afterAll(() => server.stop())

interface Shown {
  readonly id: number
  readonly type: string
  readonly subject: string
}
const events = async (log: string, more = '', of = identity) => (await server.get(`/v1/identities/${of}/events?log=${log}${more}`)).body
const typesOf = (page: { readonly items: readonly Shown[] }) => page.items.map(({ type }) => type)

async function tokenOf(role: string): Promise<string> {
  const [text, id] = [`rekey_${newId()}`, newId()]
  await server.db.store.query("insert into api_token (id, name, hash) values ($1, $2, sha256(convert_to($3, 'UTF8')))", [id, role, text])
  await server.db.store.query(
    "insert into role_binding (id, role, subject_kind, subject_id, created_by, reason) values ($1, $2, 'token', $3, 'test', 'test')",
    [newId(), role, id],
  )
  return text
}

test('each log tells its own, the latest first, in words', async () => {
  await server.post(`/v1/identities/${identity}/move`, { purpose: 'more tests' })
  const own = await events('identity')
  expect(typesOf(own)).toEqual(['identity.changed', 'identity.added'])
  expect(own.items[1]).toMatchObject({ words: 'Identity entered', subject: 'app', log: 'identity', links: { identity } })
  const credentials = await events('credential')
  expect(new Set(credentials.items.map(({ subject }: Shown) => subject))).toEqual(new Set(['app-0', 'app-1']))
  expect(typesOf(credentials)).toContain('credential.added')
  expect(await events('identity', '', 'app')).toEqual(own)
})

test('an event of another identity or credential is not in it, whatever its texts say', async () => {
  const before = await Promise.all([events('identity'), events('credential')])
  const ctx = makeCtx('test', 'test')
  await server.db.store.inTx((tx) =>
    append(tx, ctx, [
      {
        log: 'identity',
        type: 'identity.moved',
        subject: 'app',
        links: { identity: newId() },
        data: { x: `"links":{"identity":"${identity}"}` },
      },
      // A credential of the same name that was another's before.
      { log: 'credential', type: 'credential.added', subject: 'app-0', links: { credential: newId() } },
      { log: 'credential', type: 'credential.added', subject: 'other', links: { credential: newId() }, data: { identity } },
    ]),
  )
  expect(await Promise.all([events('identity'), events('credential')])).toEqual(before)
})

test('pages follow one another without a gap or a repeat', async () => {
  const all = (await events('credential')).items.map(({ id }: Shown) => id)
  expect(all.length).toBeGreaterThan(3)
  const seen: number[] = []
  for (let next: string | null = ''; next !== null; ) {
    const page = await events('credential', `&limit=2${next === '' ? '' : `&after=${next}`}`)
    seen.push(...page.items.map(({ id }: Shown) => id))
    next = page.next
  }
  expect(seen).toEqual(all)
})

test('who did it is named where it is an identity', async () => {
  const { id } = (await server.post('/v1/identities', { name: 'ada', kind: 'human' })).body
  const event = { log: 'identity', type: 'identity.suspended', subject: 'app', links: { identity } } as const
  await server.db.store.inTx((tx) => append(tx, makeCtx(`person:${id}`, 'test'), [event]))
  expect((await events('identity', '&limit=1')).items[0]).toMatchObject({
    actor: `person:${id}`,
    actorName: 'ada',
    type: 'identity.suspended',
  })
})

test('who may know of the identity does not thereby know of its credentials', async () => {
  const token = await tokenOf('directory-admin')
  const ask = (log: string) => server.send('GET', `/v1/identities/${identity}/events?log=${log}`, { token })
  expect((await ask('identity')).status).toBe(200)
  expect((await ask('credential')).status).toBe(403)
})

test('the credentials of one identity are listed alone', async () => {
  const { items } = (await server.get(`/v1/credentials?identity=${identity}`)).body
  expect(items.map(({ name }: { readonly name: string }) => name)).toEqual(['app-0', 'app-1'])
  expect((await server.get(`/v1/credentials?identity=${newId()}`)).body.items).toEqual([])
})

test('it is read from the index', async () => {
  const plan = await server.db.store.inTx(async (tx) => {
    await tx.query('set local enable_seqscan = off')
    return tx.query<{ 'QUERY PLAN': string }>(
      `explain select id from evidence_event where log = 'identity'
        and substring(body from '"links":\\{[^{}]*"identity":"([^"]*)"') = '${identity}' order by id desc limit 10`,
    )
  })
  const text = plan.map((row) => row['QUERY PLAN']).join('\n')
  expect(text).toContain('evidence_event_identity')
  expect(text).not.toContain('Sort')
})
