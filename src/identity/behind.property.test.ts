/** Who stands behind a program that a team answers for: the one human in it, if there is one only. Against the real database. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { isCode, makeCtx, newId } from '../kernel/index.ts'
import { principal } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import { requestApproval } from './approval.actions.ts'
import { standBehind } from './behind.ts'
import { addTeamMembers, joinIdentity, moveIdentity, putTeam, suspendIdentity } from './index.ts'
import { putPair } from './person.store.ts'

const ctx = makeCtx('test', 'test')
let db: TestDatabase
beforeAll(async () => {
  db = await freshDatabase()
})
afterAll(() => db.drop())

const PEOPLE = 4
const TEAMS = 3
const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)
const join = () => tx((tx) => joinIdentity(tx, ctx, { name: `x ${newId()}`, kind: 'human', source: 'api' }))
const team = () => tx((tx) => putTeam(tx, ctx, { name: `t ${newId()}` }))
const programOf = (id: string) =>
  tx((tx) =>
    joinIdentity(tx, ctx, {
      name: `w ${newId()}`,
      kind: 'workload',
      source: 'api',
      purpose: 'x',
      environment: 'x',
      owner: { kind: 'team', id },
    }),
  )

const nat = fc.nat(PEOPLE - 1)
const at = fc.nat(TEAMS - 1)

test('of a team with two humans nobody; else whoever is in it, by whichever identities, through any nesting', async () => {
  let [one, several] = [0, 0]
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(at, nat), { minLength: 1, maxLength: 5 }),
      fc.array(fc.tuple(at, at), { maxLength: 3 }),
      fc.array(fc.tuple(nat, nat), { maxLength: 2 }),
      fc.subarray([...Array(PEOPLE).keys()], { maxLength: 2 }),
      async (members, nests, twins, suspended) => {
        const people = await Promise.all(Array.from({ length: PEOPLE }, join))
        const teams = await Promise.all(Array.from({ length: TEAMS }, team))
        const [person, of] = [(n: number) => people[n] ?? '', (n: number) => teams[n] ?? '']
        const nested: [number, number][] = []
        for (const [n, who] of members) await tx((tx) => addTeamMembers(tx, ctx, of(n), { identities: [person(who)] }))
        // A team is never in itself.
        for (const [a, b] of nests.filter(([a, b]) => a < b)) {
          await tx((tx) => addTeamMembers(tx, ctx, of(a), { teams: [of(b)] }))
          nested.push([a, b])
        }
        const human = [...Array(PEOPLE).keys()]
        for (const [a, b] of twins.filter(([a, b]) => a !== b)) {
          await tx((tx) => putPair(tx, { one: person(a), other: person(b), same: true, at: new Date(), by: 'test', reason: 'x' }))
          const [from, to] = [human[a], human[b] ?? b]
          for (const [n, h] of human.entries()) if (h === from) human[n] = to
        }
        // A team without people answers for nothing: somebody is in it at the beginning.
        members.push([0, 0])
        await tx((tx) => addTeamMembers(tx, ctx, of(0), { identities: [person(0)] }))
        const program = await programOf(of(0))
        for (const n of suspended) await tx((tx) => suspendIdentity(tx, ctx, person(n), 'away'))
        const below = new Set([0])
        for (const n of below) for (const [a, b] of nested) if (a === n) below.add(b)
        const inside = new Set(members.flatMap(([n, who]) => (below.has(n) ? [who] : [])))
        const active = new Set([...inside].flatMap((who) => (suspended.includes(who) ? [] : [human[who]])))
        const behind = (await standBehind(db.store, [program])).filter((id) => id !== program)
        expect(behind.sort()).toEqual(active.size <= 1 ? [...inside].map(person).sort() : [])
        if (active.size === 1) one++
        if (active.size > 1) several++
      },
    ),
    { numRuns: 60, endOnFailure: true },
  )
  expect(Math.min(one, several)).toBeGreaterThan(3)
}, 120_000)

test('what a program of a team of one asks, that one does not approve: once there have been two for a month, they may', async () => {
  const [pia, bob, crew, approvers] = [await join(), await join(), await team(), await team()]
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [pia] }))
  await tx((tx) => addTeamMembers(tx, ctx, approvers, { identities: [pia] }))
  const bot = await programOf(crew)
  const by = principal({ id: newId(), identity: bot, makers: null })
  const asked = { action: 'identity:offboard', subject: 'x', what: {}, words: 'End x.' } as const
  const factors = [{ team: approvers, count: 1, aal: 2, passkey: false }] as const
  const ask = () => tx((tx) => requestApproval(tx, ctx, { ...asked, factors, expiresSeconds: 3_600, requestedBy: by }))
  await expect(ask()).rejects.toSatisfy((error) => isCode(error, 'bad_input'))
  // A program among the members is nobody's second pair of eyes, nor is who cannot act.
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [bot, bob] }))
  await tx((tx) => suspendIdentity(tx, ctx, bob, 'away'))
  await expect(ask()).rejects.toSatisfy((error) => isCode(error, 'bad_input'))
  const eve = await join()
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [eve] }))
  await expect(ask()).rejects.toSatisfy((error) => isCode(error, 'bad_input'))
  await db.store.query("update former_owner set until = until - interval '31 days' where identity_id = $1", [bot])
  const id = await ask()
  expect(await db.store.query('select identity_id from approval_approver where approval_id = $1', [id])).toEqual([{ identity_id: pia }])
  // A team of one again, of whose program a program is: it leads on.
  const inner = await team()
  await tx((tx) => addTeamMembers(tx, ctx, inner, { identities: [pia] }))
  await tx((tx) => moveIdentity(tx, ctx, bot, { owner: { kind: 'team', id: inner } }))
  await expect(ask()).rejects.toSatisfy((error) => isCode(error, 'bad_input'))
})
