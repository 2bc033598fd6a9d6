/** What a team owns when the last person who answers goes, whichever way they go. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { makeCtx, newId } from '../kernel/index.ts'
import { Policies } from '../policy/index.ts'
import { allowed, permitted, principal } from '../policy/testing.ts'
import { ensurePolicySet, removeIdentities } from './index.ts'
import { openHandovers } from './lifecycle.handover.ts'
import { joinIdentity } from './lifecycle.join.ts'
import { leavingOf } from './lifecycle.leaving.ts'
import { moveIdentity } from './lifecycle.move.ts'
import { leaveIdentity, offboardIdentity, suspendIdentity } from './lifecycle.status.ts'
import { fsckIdentities } from './record.fsck.ts'
import { addTeamMembers, putTeam, removeTeam, setTeamMembers } from './team.actions.ts'
import { changeTeam } from './team.change.ts'
import { SECURITY_CONTACT } from './team.model.ts'

const ctx = makeCtx('test', 'test')
let db: TestDatabase
beforeEach(async () => {
  db = await freshDatabase()
})
afterEach(() => db.drop())

const inTx = <T>(use: Parameters<typeof db.store.inTx<T>>[0]) => db.store.inTx(use)
const human = (name: string) => inTx((tx) => joinIdentity(tx, ctx, { name, kind: 'human', source: 'api' }))

interface Crew {
  readonly kim: string
  readonly team: string
  readonly name: string
  readonly works: string
}
/** A team with one person that owns a workload. */
async function crew(): Promise<Crew> {
  const name = `crew-${newId()}`
  const kim = await human(`kim-${newId()}`)
  const team = await inTx((tx) => putTeam(tx, ctx, { name }))
  await inTx((tx) => addTeamMembers(tx, ctx, team, { identities: [kim] }))
  const owner = { kind: 'team', id: team } as const
  const works = await inTx((tx) =>
    joinIdentity(tx, ctx, { name: `w-${newId()}`, kind: 'workload', owner, purpose: 'serves', environment: 'prod', source: 'api' }),
  )
  return { kim, team, name, works }
}
async function handed({ works, name }: Crew): Promise<unknown> {
  const found = (await openHandovers(db.store, { limit: 100 })).filter(({ identity }) => identity === works)
  for (const one of found) expect(one.from.name).toBe(name)
  const [row] = await db.store.query<{ key: string }>('select owner_key as key from identity where id = $1', [works])
  for (const one of found) expect(row?.key).toBe(`${one.to.kind}:${one.to.id}`)
  return found.map(({ to, rule, cause }) => [to.name, rule, cause])
}
const nest = (parent: string, child: string) => inTx((tx) => addTeamMembers(tx, ctx, parent, { teams: [child] }))

test('the last person is offboarded or leaves: to the team around it, else their manager, else the security contact', async () => {
  const [one, two, three] = [await crew(), await crew(), await crew()]
  const around = await inTx((tx) => putTeam(tx, ctx, { name: 'around' }))
  const pat = await human('pat')
  await inTx((tx) => addTeamMembers(tx, ctx, around, { identities: [pat] }))
  await nest(around, one.team)
  await inTx((tx) => moveIdentity(tx, ctx, two.kim, { manager: pat }))
  expect((await leavingOf(db.store, two.kim)).teams).toEqual([
    { name: two.name, owns: 1, heir: { kind: 'person', name: 'pat', rule: 'manager' } },
  ])
  for (const { kim } of [one, two]) await inTx((tx) => offboardIdentity(tx, ctx, kim, 'left'))
  await inTx((tx) => leaveIdentity(tx, ctx, three.kim, 'left'))
  expect(await handed(one)).toEqual([['around', 'parent_team', 'offboarded']])
  expect(await handed(two)).toEqual([['pat', 'manager', 'offboarded']])
  expect(await handed(three)).toEqual([['security-contact', 'security_contact', 'left']])
  expect(await fsckIdentities(db.store)).toEqual([])
})

test('a suspension may be taken back, and moves nothing; the end of who was suspended does', async () => {
  const one = await crew()
  await inTx((tx) => suspendIdentity(tx, ctx, one.kim, 'away'))
  expect(await handed(one)).toEqual([])
  await inTx((tx) => offboardIdentity(tx, ctx, one.kim, 'left'))
  expect(await handed(one)).toEqual([['security-contact', 'security_contact', 'offboarded']])
})

test('the last person is taken out, by hand or as one list; who comes at the same moment answers for it', async () => {
  const [one, two, three] = [await crew(), await crew(), await crew()]
  const parts = { store: db.store, policies: new Policies(await ensurePolicySet(db.store, ctx)) }
  const by = principal({ id: newId(), roles: ['directory-admin'] })
  const bob = await human('bob')
  const change = (of: Crew, add: readonly string[]) =>
    changeTeam(parts, ctx, allowed(ctx, 'team:change'), by, of.team, {
      add: { identities: add },
      remove: { identities: [of.kim] },
      reason: 'split',
      force: false,
    })
  await change(one, [])
  await change(two, [bob])
  await inTx((tx) => setTeamMembers(tx, ctx, three.team, { identities: [] }))
  expect(await handed(one)).toEqual([['security-contact', 'security_contact', 'team_emptied']])
  expect(await handed(two)).toEqual([])
  expect(await handed(three)).toEqual([['security-contact', 'security_contact', 'team_emptied']])
})

test('whoever a team had only by a nested one: taken out, or removed; and two people that a file takes away at once', async () => {
  const [one, two] = [await crew(), await crew()]
  const outer = async (inner: string): Promise<Crew> => {
    const made = await crew()
    await nest(made.team, inner)
    await inTx((tx) => setTeamMembers(tx, ctx, made.team, { teams: [inner] }))
    expect(await handed(made)).toEqual([])
    return made
  }
  const [left, removed] = [await outer(one.team), await outer(two.team)]
  await inTx((tx) => setTeamMembers(tx, ctx, left.team, {}))
  await inTx((tx) => removeTeam(tx, ctx, two.team))
  for (const each of [left, removed]) expect(await handed(each)).toEqual([['security-contact', 'security_contact', 'team_emptied']])
  const three = await crew()
  await db.store.query('insert into team_member (team_id, identity_id, identity_name) select $1, id, name from identity where id = $2', [
    three.team,
    one.kim,
  ])
  const names = (
    await db.store.query<{ name: string }>('select name from identity where id = any($1::uuid[])', [[one.kim, three.kim]])
  ).map((row) => row.name)
  await inTx((tx) => removeIdentities(tx, ctx, permitted(ctx), names))
  expect(await handed(three)).toEqual([['security-contact', 'security_contact', 'team_emptied']])
})

test('what the security contact owns stays with it', async () => {
  const kim = await human('kim')
  await inTx((tx) => setTeamMembers(tx, ctx, SECURITY_CONTACT, { identities: [kim] }))
  const owner = { kind: 'team', id: SECURITY_CONTACT } as const
  const fields = { name: 'own', kind: 'workload', owner, purpose: 'serves', environment: 'prod', source: 'api' } as const
  await inTx((tx) => joinIdentity(tx, ctx, fields))
  await inTx((tx) => offboardIdentity(tx, ctx, kim, 'left'))
  expect(await openHandovers(db.store, { limit: 10 })).toEqual([])
})
