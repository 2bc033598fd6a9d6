import { afterEach, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { isCode, makeCtx, newId, Secret } from '../kernel/index.ts'
import { permitted } from '../policy/testing.ts'
import {
  authenticate,
  beginAnswer,
  ensureAdminToken,
  finishAnswer,
  identitiesById,
  KnownTokens,
  listIdentities,
  putIdentities,
  releaseAnswer,
  removeIdentities,
  tokenFindings,
} from './index.ts'

const ctx = makeCtx('test', 'identity')
const code = (wanted: Parameters<typeof isCode>[1]) => (error: unknown) => isCode(error, wanted)
let db: TestDatabase
beforeEach(async () => {
  db = await freshDatabase()
})
afterEach(() => db.drop())

async function newToken(): Promise<string> {
  const written: string[] = []
  expect(await ensureAdminToken(db.store, ctx, async (text) => void written.push(text))).toBe(true)
  return written.join()
}

const eventTypes = async () =>
  (await db.store.query<{ type: string }>("select body::jsonb ->> 'type' as type from evidence_event order by id")).map(({ type }) => type)

test('known tokens: what was valid when last met, bounded, and no proof of anything', async () => {
  const text = await newToken()
  const [right, wrong] = [Secret.fromText(text), Secret.fromText(`${text}x`)]
  const known = new KnownTokens()
  expect(known.nameOf(right)).toBeNull()
  await known.load(db.store)
  expect(known.nameOf(right)).toMatch(/^[0-9a-f]{64}$/)
  expect([known.nameOf(right)?.includes(text), known.nameOf(wrong)]).toEqual([false, null])
  await db.store.query('update api_token set revoked_at = now()')
  expect(known.nameOf(right)).not.toBeNull()
  expect(await authenticate(db.store, ctx, right)).toBeNull()
  known.note(right, false)
  expect(known.nameOf(right)).toBeNull()
  const later = new KnownTokens()
  await later.load(db.store)
  expect(later.nameOf(right)).toBeNull()
  for (let n = 0; n <= 1_000; n++) later.note(Secret.fromText(`token-${n}`), true)
  expect([later.nameOf(Secret.fromText('token-0')), later.nameOf(Secret.fromText('token-1'))]).toEqual([null, expect.any(String)])
})

test('the first start makes one admin token, later ones none', async () => {
  const text = await newToken()
  expect(text).toMatch(/^rekey_[0-9A-Za-z]{49}$/)
  expect(await ensureAdminToken(db.store, ctx, async () => expect.unreachable())).toBe(false)
  expect(await authenticate(db.store, ctx, Secret.fromText(text))).toMatchObject({ kind: 'token', roles: ['bootstrap-admin'] })
  expect(await eventTypes()).toEqual(['token.created', 'role.bound'])
})

test('what is stored of a token is its hash and nothing else', async () => {
  const text = await newToken()
  const [stored] = await db.store.query<{ all: string }>(
    'select (t.*)::text || (select string_agg(e.*::text, chr(10)) from evidence_event e) as all from api_token t',
  )
  expect(stored?.all).not.toContain(text.slice(6))
  expect(stored?.all).not.toContain(Buffer.from(text).toString('hex'))
})

test('processes that start together make one token', async () => {
  const made = await Promise.all(Array.from({ length: 5 }, () => ensureAdminToken(db.store, ctx, async () => undefined)))
  expect(made.filter(Boolean)).toHaveLength(1)
})

test('a token whose file could not be written is not stored, so that the next start makes one', async () => {
  const failing = ensureAdminToken(db.store, ctx, () => Promise.reject(new Error('disk full')))
  await expect(failing).rejects.toThrow('disk full')
  const text = await newToken()
  expect(await authenticate(db.store, ctx, Secret.fromText(text))).not.toBeNull()
})

test('a revoked, changed or unknown token is nobody, and after revocation the next start makes a new one', async () => {
  const text = await newToken()
  expect(await authenticate(db.store, ctx, Secret.fromText(`${text}x`))).toBeNull()
  expect(await authenticate(db.store, ctx, Secret.fromText('rekey_'))).toBeNull()
  await db.store.query('update api_token set revoked_at = now()')
  expect(await authenticate(db.store, ctx, Secret.fromText(text))).toBeNull()
  expect(await newToken()).not.toBe(text)
})

async function tokenId(): Promise<string> {
  const principal = await authenticate(db.store, ctx, Secret.fromText(await newToken()))
  return principal?.id ?? ''
}

test('a repeated request gets the first answer', async () => {
  const id = await tokenId()
  expect(await beginAnswer(db.store, id, 'k', 'one')).toEqual({ kind: 'fresh' })
  await expect(beginAnswer(db.store, id, 'k', 'one')).rejects.toSatisfy(code('conflict'))
  await finishAnswer(db.store, id, 'k', 202, { batch: 'b' })
  expect(await beginAnswer(db.store, id, 'k', 'one')).toEqual({ kind: 'answered', status: 202, answer: { batch: 'b' } })
  await expect(beginAnswer(db.store, id, 'k', 'two')).rejects.toSatisfy(code('idempotency_reused'))
  await expect(finishAnswer(db.store, id, 'k', 500, null)).rejects.toSatisfy(code('internal'))
})

test('of many equal requests at once one does the work', async () => {
  const id = await tokenId()
  const begun = await Promise.allSettled(Array.from({ length: 8 }, () => beginAnswer(db.store, id, 'k', 'one')))
  expect(begun.filter((one) => one.status === 'fulfilled')).toHaveLength(1)
})

test('a released key is free again, an answered one is not released', async () => {
  const id = await tokenId()
  await beginAnswer(db.store, id, 'k', 'one')
  await releaseAnswer(db.store, id, 'k')
  expect(await beginAnswer(db.store, id, 'k', 'two')).toEqual({ kind: 'fresh' })
  await finishAnswer(db.store, id, 'k', 200, null)
  await releaseAnswer(db.store, id, 'k')
  expect(await beginAnswer(db.store, id, 'k', 'two')).toMatchObject({ kind: 'answered', answer: null })
})

test('keys are apart for each token, and free again after 24 hours', async () => {
  const id = await tokenId()
  await db.store.query("insert into api_token (id, name, hash) values ($1, 'x', '\\x00')", [newId()])
  const [other] = await db.store.query<{ id: string }>("select id from api_token where name = 'x'")
  await beginAnswer(db.store, id, 'k', 'one')
  expect(await beginAnswer(db.store, other?.id ?? '', 'k', 'two')).toEqual({ kind: 'fresh' })
  await db.store.query("update idempotency set created_at = now() - interval '25 hours' where token_id = $1", [id])
  await beginAnswer(db.store, id, 'later', 'three')
  expect(await db.store.query('select key from idempotency where token_id = $1', [id])).toEqual([{ key: 'later' }])
  expect(await beginAnswer(db.store, id, 'k', 'four')).toEqual({ kind: 'fresh' })
})

test.each(['', ' ', 'a b', 'ä', 'x'.repeat(201), 'a\n'])('the key %j is refused', async (key) => {
  await expect(beginAnswer(db.store, newId(), key, 'one')).rejects.toSatisfy(code('bad_input'))
})

const api = { name: 'api', kind: 'workload', owner: 'team-a', purpose: 'serves', environment: 'prod' } as const

test('identities are added, changed and removed with an event for each, and left alone when equal', async () => {
  const put = (...wanted: Parameters<typeof putIdentities>[3]) => db.store.inTx((tx) => putIdentities(tx, ctx, permitted(ctx), wanted))
  const ids = await put(api, { ...api, name: 'bot', kind: 'agent' })
  expect(await put(api)).toEqual(new Map([['api', ids.get('api')]]))
  await put({ ...api, owner: 'team-b' })
  expect(await identitiesById(db.store, [ids.get('api') ?? ''])).toEqual(
    new Map([[ids.get('api'), { id: ids.get('api'), ...api, owner: 'team-b' }]]),
  )
  await db.store.inTx((tx) => removeIdentities(tx, ctx, permitted(ctx), ['bot']))
  expect((await listIdentities(db.store, {}, { limit: 100 })).map(({ name }) => name)).toEqual(['api'])
  expect(await eventTypes()).toEqual(['identity.added', 'identity.added', 'identity.changed', 'identity.removed'])
  const [changed] = await db.store.query<{ data: unknown }>(
    "select body::jsonb -> 'data' as data from evidence_event where body::jsonb ->> 'type' = 'identity.changed'",
  )
  expect(changed?.data).toEqual({ before: { owner: 'team-a' }, after: { owner: 'team-b' } })
})

test('removing an identity that does not exist removes nothing', async () => {
  await db.store.inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [api]))
  await expect(db.store.inTx((tx) => removeIdentities(tx, ctx, permitted(ctx), ['api', 'nobody']))).rejects.toSatisfy(code('not_found'))
  expect(await listIdentities(db.store, {}, { limit: 100 })).toHaveLength(1)
})

test('a token that was put into the table, or changed there, is found; a revoked one is none of that', async () => {
  await newToken()
  await db.store.query('update api_token set revoked_at = now()')
  await newToken()
  expect(await tokenFindings(db.store)).toEqual([])
  await db.store.query("insert into api_token (id, name, hash, created_by) values (gen_random_uuid(), 'x', sha256('evil'), 'x')")
  expect(await tokenFindings(db.store)).toMatchObject([{ what: 'The table has it; the log knows nothing of it.' }])
  await db.store.query("delete from api_token where name = 'x'")
  await db.store.query("update api_token set hash = sha256('evil') where revoked_at is null")
  expect(await tokenFindings(db.store)).toMatchObject([{ what: 'Its hash is not that of the token that was made.' }])
})
