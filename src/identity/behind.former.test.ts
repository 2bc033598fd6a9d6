/** For how long who answered for a program stands behind it: against the real database. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { makeCtx, newId } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { FORMER_DAYS } from './behind.store.ts'
import { standBehind } from './behind.ts'
import {
  addTeamMembers,
  joinIdentity,
  moveIdentity,
  offboardIdentity,
  putTeam,
  removeTeam,
  resumeIdentity,
  suspendIdentity,
} from './index.ts'
import { insertToken } from './token.store.ts'

const ctx = makeCtx('test', 'test')
let db: TestDatabase
beforeAll(async () => {
  db = await freshDatabase()
})
afterAll(() => db.drop())

const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)
const join = () => tx((tx) => joinIdentity(tx, ctx, { name: `x ${newId()}`, kind: 'human', source: 'api' }))
const programOf = (kind: 'person' | 'team', id: string) =>
  tx((tx) =>
    joinIdentity(tx, ctx, {
      name: `w ${newId()}`,
      kind: 'workload',
      source: 'api',
      purpose: 'x',
      environment: 'x',
      owner: { kind, id },
    }),
  )
const behind = async (program: string) => (await standBehind(db.store, [program])).filter((id) => id !== program).sort()
/** As if what is on record of it had been so many days ago. */
const ago = (program: string, days: number) =>
  db.store.query('update former_owner set until = now() - make_interval(days => $2) where identity_id = $1', [program, days])

/** A good token, made so many days ago by this actor. */
async function token(fields: { identity: string | null; days: number; by?: string; makers?: readonly string[] }): Promise<string> {
  const { identity, days, by = 'test', makers = [] } = fields
  const id = newId()
  const limits = { follows: false, actsFor: null, scope: null, environments: null, expiresAt: null }
  const hashHex = `${id}${id}`.replaceAll('-', '')
  await tx((tx) => insertToken(tx, { id, name: `t ${id}`, hashHex, identity, createdBy: by, makers, ...limits }))
  await db.store.query('update api_token set created_at = now() - make_interval(days => $2) where id = $1', [id, days])
  return id
}
const revoke = (id: string) => db.store.query('update api_token set revoked_at = now() where id = $1', [id])

async function rule(identity: string, days: number): Promise<void> {
  const id = newId()
  await db.store.query(
    `insert into issuer (id, name, type, origin, audience, keys_from, algorithms, max_token_age_seconds, clock_skew_seconds,
       keys_max_age_seconds, replay, created_at, created_by)
     values ($1::uuid, $1::uuid::text, 'oidc', $1::uuid::text, 'x', 'discovery', '{RS256}', 60, 30, 300, 'once', now(), 'test')`,
    [id],
  )
  await db.store.query(
    `insert into issuer_rule (id, issuer_id, part, identity_id, claims, prefixes, hardware, created_at, created_by)
     values ($1, $1, 'subject', $2, '{"sub":"x"}', '{}', false, now() - make_interval(days => $3), 'test')`,
    [id, identity, days],
  )
}

type Case = readonly [what: string, counts: boolean, ways: (program: string) => Promise<unknown>]
/** She answered for it until 100 days ago. */
const CASES: readonly Case[] = [
  ['nothing of it is left', false, async () => undefined],
  ['a token that is older', true, (identity) => token({ identity, days: 101 })],
  ['a token that is older and revoked', false, async (identity) => revoke(await token({ identity, days: 101 }))],
  ['a newer token that somebody else made', false, (identity) => token({ identity, days: 99 })],
  ['an older token of another that the program made', true, (program) => token({ identity: null, days: 101, makers: [program] })],
  ['a rule that is older', true, (program) => rule(program, 101)],
  ['a newer rule', false, (program) => rule(program, 99)],
  ['a token that the program made by a signed one', true, (identity) => token({ identity, days: 1, by: `workload:${identity}` })],
  [
    'a newer token that an older one has rotated itself into, twice',
    true,
    async (identity) => {
      const first = await token({ identity, days: 101 })
      const second = await token({ identity, days: 50, by: `token:${first}` })
      await token({ identity, days: 1, by: `token:${second}` })
      await revoke(first)
      await revoke(second)
    },
  ],
  [
    'a newer token that a newer one has rotated itself into',
    false,
    async (identity) => {
      const first = await token({ identity, days: 99 })
      await token({ identity, days: 1, by: `token:${first}` })
    },
  ],
  [
    'a newer token that an older one of somebody else made',
    false,
    async (identity) => token({ identity, days: 99, by: `token:${await token({ identity: null, days: 200 })}` }),
  ],
]

test.each(CASES)('after a month: %s counts: %s', async (_what, counts, ways) => {
  const [ada, bob] = [await join(), await join()]
  const program = await programOf('person', ada)
  await ways(program)
  await tx((tx) => moveIdentity(tx, ctx, program, { owner: { kind: 'person', id: bob } }))
  for (const [days, expected] of [
    [FORMER_DAYS - 1, true],
    [100, counts],
  ] as const) {
    await ago(program, days)
    expect(await behind(program)).toEqual(expected ? [ada, bob].sort() : [bob])
  }
})

test('a move that is undone leaves neither a row nor an event', async () => {
  const [ada, bob] = [await join(), await join()]
  const program = await programOf('person', ada)
  const told = "select body from evidence_event where body like '%identity.stood_behind%' and body like '%' || $1 || '%'"
  const rows = async () => [
    (await db.store.query('select person_id from former_owner where identity_id = $1', [program])).length,
    (await db.store.query(told, [program])).length,
  ]
  const move = (tx: Tx) => moveIdentity(tx, ctx, program, { owner: { kind: 'person', id: bob } })
  const dies = tx(async (tx) => {
    await move(tx)
    throw new Error('it dies here')
  })
  await expect(dies).rejects.toThrow('it dies here')
  expect(await rows()).toEqual([0, 0])
  await tx(move)
  expect(await rows()).toEqual([1, 1])
})

test('whatever ends that somebody answers for a program, they are remembered in the same transaction, and it is on record', async () => {
  const [ada, bob, eve] = [await join(), await join(), await join()]
  const [one, around] = [await tx((tx) => putTeam(tx, ctx, { name: newId() })), await tx((tx) => putTeam(tx, ctx, { name: newId() }))]
  await tx((tx) => addTeamMembers(tx, ctx, one, { identities: [ada] }))
  await tx((tx) => addTeamMembers(tx, ctx, around, { teams: [one] }))
  const [own, crew, outer] = [await programOf('person', ada), await programOf('team', one), await programOf('team', around)]
  // Two of them are in it, and one cannot act: that one comes back.
  await tx((tx) => addTeamMembers(tx, ctx, one, { identities: [bob] }))
  expect([await behind(crew), await behind(outer)]).toEqual([[ada], [ada]])
  await db.store.query('delete from former_owner')
  expect(await behind(crew)).toEqual([])
  await tx((tx) => suspendIdentity(tx, ctx, ada, 'away'))
  expect(await behind(outer)).toEqual([ada, bob].sort())
  await tx((tx) => resumeIdentity(tx, ctx, ada, 'back'))
  expect([await behind(crew), await behind(outer)]).toEqual([[ada, bob].sort(), [ada, bob].sort()])
  await tx((tx) => offboardIdentity(tx, ctx, ada, 'gone'))
  expect(await behind(own)).toEqual(expect.arrayContaining([ada]))
  // A team that was in it is taken away, with who was in that. What the other owned is with the security contact then.
  await db.store.query('delete from former_owner')
  await tx((tx) => removeTeam(tx, ctx, one))
  await tx((tx) => addTeamMembers(tx, ctx, around, { identities: [eve] }))
  expect(await behind(outer)).toEqual([ada, bob].sort())
})
