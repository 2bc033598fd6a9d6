/** What a plan says beside the credentials is what happens then. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { addTeamMembers, joinIdentity, offboardIdentity, putTeam, suspendIdentity } from '../identity/index.ts'
import { startSession } from '../identity/session.ts'
import { type Ctx, makeCtx, newId } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import { planClosure } from './closure.preview.ts'

const ctx: Ctx = makeCtx('test', 'test')
let db: TestDatabase
beforeAll(async () => {
  db = await freshDatabase()
})
afterAll(() => db.drop())

const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)
const human = (manager?: string) =>
  tx((tx) => joinIdentity(tx, ctx, { name: `h-${newId()}`, kind: 'human', source: 'api', ...(manager === undefined ? {} : { manager }) }))
const bot = (id: string) => {
  const more = { purpose: 'serves', environment: 'test', owner: { kind: 'person' as const, id } }
  return tx((tx) => joinIdentity(tx, ctx, { name: `w-${newId()}`, kind: 'workload', source: 'api', ...more }))
}
const targets = {
  connectorFor: () => {
    throw new Error('there are no systems')
  },
}
const plan = async (id: string) =>
  (await planClosure({ store: db.store, targets }, allowed(ctx, 'closure:plan'), id)).map(({ credential, way, why, begins }) => ({
    ...{ credential: credential.replace(/ of .*/, ''), way, why, begins },
  }))
const nameOf = async (id: string) => (await db.store.query<{ name: string }>('select name from identity where id = $1', [id]))[0]?.name

/** Who took over, by the record; null: nobody had to. */
async function heirOf(leaver: string): Promise<string | undefined> {
  const [row] = await db.store.query<{ to_kind: string; to_name: string }>(
    'select to_kind, to_name from handover where from_id = $1 limit 1',
    [leaver],
  )
  return row && `${row.to_kind} ${row.to_name}`
}

test('sessions that would end, as many as there are', async () => {
  const ada = await human()
  expect(await plan(ada)).toEqual([])
  const how = { method: 'oidc', provider: null, passkey: null, browser: 'test', replaces: null, authenticatedAt: null } as const
  const login = () => tx((tx) => startSession(tx, ctx, { ...how, identity: ada, name: 'ada', aal: 2 }))
  await login()
  expect(await plan(ada)).toEqual([
    { credential: '1 session', way: 'suspend', why: `logged in as ${await nameOf(ada)}`, begins: 'suspension' },
  ])
  await login()
  expect((await plan(ada)).map(({ credential }) => credential)).toEqual(['2 sessions'])
  await tx((tx) => suspendIdentity(tx, ctx, ada, 'tests'))
  expect(await plan(ada)).toEqual([])
})

test('who would own what the leaver owns: who then does, by each rule', async () => {
  const boss = await human()
  const withManager = await human(boss)
  const inTeam = await human()
  const crew = await tx((tx) => putTeam(tx, ctx, { name: `crew-${newId()}` }))
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [inTeam, boss] }))
  const alone = await human()
  const cases = [
    [withManager, 'manager', `person ${await nameOf(boss)}`],
    [inTeam, 'team that stays', expect.stringMatching(/^team crew-/)],
    [alone, 'nobody else', 'team security-contact'],
  ] as const
  for (const [leaver, because, heir] of cases) {
    await bot(leaver)
    const gone = await bot(leaver)
    await tx((tx) => offboardIdentity(tx, ctx, gone, 'ended before'))
    await bot(leaver)
    const [said, ...others] = await plan(leaver)
    expect(others).toEqual([])
    expect(said).toMatchObject({ credential: '2 identities', way: 'hand_over', begins: 'offboarding' })
    expect(said?.why).toContain(because)
    await tx((tx) => offboardIdentity(tx, ctx, leaver, 'left'))
    const took = await heirOf(leaver)
    expect(took).toEqual(heir)
    expect(said?.why).toMatch(new RegExp(`^then owned by ${took},`))
  }
})

test('teams in which nobody would be left: what they own, and who then does', async () => {
  const [boss, kim] = [await human(), await human()]
  const crew = await tx((tx) => putTeam(tx, ctx, { name: `crew-${newId()}` }))
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [kim, boss] }))
  const owner = { kind: 'team', id: crew } as const
  const fields = { name: `bot-${newId()}`, kind: 'workload', owner, purpose: 'tests', environment: 'test', source: 'api' } as const
  await tx((tx) => joinIdentity(tx, ctx, fields))
  expect(await plan(kim)).toEqual([])
  await tx((tx) => offboardIdentity(tx, ctx, boss, 'left'))
  const why = 'nobody else is in it; the 1 identity that it answers for then owned by team security-contact, as nobody else is there'
  expect(await plan(kim)).toMatchObject([
    { credential: expect.stringMatching(/^team crew-/), way: 'hand_over', why, begins: 'offboarding' },
  ])
  await tx((tx) => offboardIdentity(tx, ctx, kim, 'left'))
  const [row] = await db.store.query<{ key: string }>('select owner_key as key from identity where name = $1', [fields.name])
  expect(row?.key).toMatch(/^team:/)
  expect(row?.key).not.toBe(`team:${crew}`)
})
