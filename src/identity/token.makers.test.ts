/** Who stands behind a token: kept when it is made and rotated, found again for tokens from before. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, SCHEMA_FOLDER, type TestDatabase } from '../../test/lab/database.ts'
import { makeCtx, newId, Secret } from '../kernel/index.ts'
import { defaultPolicies, Policies, type Principal } from '../policy/index.ts'
import { principal } from '../policy/testing.ts'
import { makersBy } from './behind.ts'
import { authenticate, createToken, ensureAdminToken, joinIdentity, rotateToken, standsBehindToken, type TokenInput } from './index.ts'
import { addBinding } from './role.store.ts'

const ctx = makeCtx('test', 'test')
const policies = new Policies(defaultPolicies())
let db: TestDatabase
let first: Principal
beforeAll(async () => {
  db = await freshDatabase()
  let text = ''
  await ensureAdminToken(db.store, ctx, async (shown) => {
    text = shown
  })
  const found = await authenticate(db.store, ctx, Secret.fromText(text))
  if (found === null) throw new Error('the first token is refused')
  first = found
})
afterAll(() => db.drop())

/** Somebody who holds what `person` says: a token of theirs can do no more than they may by the rows. */
const join = (name: string) =>
  db.store.inTx(async (tx) => {
    const id = await joinIdentity(tx, ctx, { name: `${name} ${newId()}`, kind: 'human', source: 'api' })
    await addBinding(tx, ctx, { role: 'security-admin', kind: 'identity', id, reason: 'tests' })
    return id
  })
const person = (id: string) =>
  principal({ id, identity: id, kind: 'person', roles: ['security-admin'], aal: 3, authenticatedAt: new Date() })
const asActor = (by: Principal) => makeCtx(`${by.kind}:${by.id}`, 'test')

async function make(by: Principal, more: Partial<TokenInput> = {}): Promise<{ id: string; principal: Principal }> {
  const plain = { scope: null, environments: null, expiresSeconds: null, identity: null, actsFor: null, reason: 'tests', force: false }
  const input = { ...plain, name: `t ${newId()}`, roles: ['security-admin'], ...more }
  const may = policies.allow(ctx, by, 'token:create')
  return shown(await createToken({ store: db.store, policies }, asActor(by), may, by, input))
}

async function rotate(token: string, by: Principal) {
  const may = policies.allow(ctx, by, 'token:rotate')
  const input = { token, overlapSeconds: null, expiresSeconds: null }
  return shown(await rotateToken({ store: db.store, policies }, asActor(by), may, by, input))
}

async function shown({ id, token }: Awaited<ReturnType<typeof createToken>>) {
  const found = await authenticate(db.store, ctx, token)
  if (found === null) throw new Error('a new token is refused')
  return { id, principal: found }
}

test('a token keeps who made it, through tokens that make tokens and across rotations', async () => {
  const [eve, bob] = [await join('eve'), await join('bob')]
  const one = await make(person(eve))
  const two = await make(one.principal)
  const three = await rotate(two.id, two.principal)
  for (const { id, principal } of [one, two, three]) {
    expect(await standsBehindToken(db.store, id)).toEqual([eve])
    expect(principal.makers).toEqual([eve])
  }
  // Whoever gets the new text stands behind it; the old one stays whose it was.
  const four = await rotate(three.id, person(bob))
  expect([four.principal.makers, await standsBehindToken(db.store, three.id)]).toEqual([[bob], [eve]])
})

test('nobody is on record behind the first token, nor behind what it makes for nobody', async () => {
  const ada = await join('ada')
  expect([first.makers, await standsBehindToken(db.store, first.id)]).toEqual([[], []])
  const bare = await make(first)
  expect([bare.principal.makers, await standsBehindToken(db.store, bare.id)]).toEqual([null, []])
  const hers = await make(first, { identity: ada })
  expect([hers.principal.makers, await standsBehindToken(db.store, hers.id)]).toEqual([null, [ada]])
  expect((await make(hers.principal)).principal.makers).toEqual([ada])
  const taken = await rotate(bare.id, person(ada))
  expect(taken.principal.makers).toEqual([ada])
})

test('tokens from before are given their makers by who is recorded as having made them', async () => {
  const maker = fc.oneof(
    fc.constantFrom('person', 'workload', 'agent for', 'nobody').map((kind) => ({ kind, of: 0 })),
    fc.record({ kind: fc.constant('token'), of: fc.nat(9) }),
    fc.record({ kind: fc.constant('itself'), of: fc.nat(9) }),
  )
  const statements = readFileSync(`${SCHEMA_FOLDER}/0017_token_makers.sql`, 'utf8')
  const update = statements.slice(statements.indexOf('with recursive'), statements.indexOf('create index'))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.record({ maker, own: fc.boolean() }), { minLength: 1, maxLength: 10 }), async (wanted) => {
      const rows: { id: string; createdBy: string; own: string | null; makers: string[] | null }[] = []
      for (const { maker, own } of wanted) {
        const before = rows[maker.of]
        const [someone, another] = [newId(), newId()]
        const mine = own ? newId() : null
        const by = (createdBy: string, makers: string[] | null) => rows.push({ id: newId(), createdBy, own: mine, makers })
        if ((maker.kind === 'token' || maker.kind === 'itself') && before !== undefined) {
          // As `makersBy` says of the token that made it.
          by(`token:${before.id}`, makersBy(principal({ id: before.id, identity: before.own, makers: before.makers })))
        } else if (maker.kind === 'agent for') by(`agent:${someone} for ${another}`, [someone, another].sort())
        else if (maker.kind === 'nobody') by('somebody', null)
        else by(`${maker.kind === 'workload' ? 'workload' : 'person'}:${someone}`, [someone])
      }
      await db.store.inTx(async (tx) => {
        for (const { id, createdBy, own } of rows) {
          await tx.query(
            `insert into api_token (id, name, hash, identity_id, created_by, expires_at)
             values ($1::uuid, $2, decode($2, 'hex'), $3, $4, now())`,
            [id, id.replaceAll('-', ''), own, createdBy],
          )
        }
        await tx.query('update api_token set makers = null where id = any($1::uuid[])', [rows.map(({ id }) => id)])
        for (const one of update.split(';').filter((text) => text.trim() !== '')) await tx.query(one)
      })
      const found = await db.store.query<{ id: string; makers: string[] | null }>('select id, makers from api_token')
      const byId = new Map(found.map(({ id, makers }) => [id, makers]))
      for (const { id, makers } of rows) expect(byId.get(id) ?? null).toEqual(makers)
      await db.store.query('delete from api_token where id = any($1::uuid[])', [rows.map(({ id }) => id)])
    }),
    { numRuns: 60 },
  )
})
