import { afterEach, beforeEach, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { isCode, makeCtx, newId } from '../kernel/index.ts'
import { permitted } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import {
  addTeamMembers,
  dueChanges,
  dueEntitlements,
  findIdentity,
  identityByExternalId,
  type JoinFields,
  joinIdentity,
  leaveIdentity,
  listIdentities,
  type MoveChange,
  markEntitlementsHandled,
  markHandled,
  moveIdentity,
  offboardIdentity,
  openHandovers,
  putIdentities,
  putTeam,
  removeIdentities,
  removeTeam,
  removeTeamMembers,
  resumeIdentity,
  securityContact,
  suspendIdentity,
} from './index.ts'

const ctx = makeCtx('test', 'lifecycle')
const code = (wanted: Parameters<typeof isCode>[1]) => (error: unknown) => isCode(error, wanted)
let db: TestDatabase
beforeEach(async () => {
  db = await freshDatabase()
})
afterEach(() => db.drop())

const inTx = <T>(use: (tx: Tx) => Promise<T>) => db.store.inTx(use)
const join = (fields: Partial<JoinFields> & { name: string }) =>
  inTx((tx) => joinIdentity(tx, ctx, { kind: 'human', source: 'api', ...fields }))
const work = (name: string, owner: JoinFields['owner'], more: Partial<JoinFields> = {}) =>
  join({ name, kind: 'workload', ...(owner && { owner }), purpose: 'serves', environment: 'prod', ...more })
const move = (id: string, change: MoveChange) => inTx((tx) => moveIdentity(tx, ctx, id, change))
const person = (id: string) => ({ kind: 'person', id }) as const
const team = (id: string) => ({ kind: 'team', id }) as const
const shown = async (id: string) => {
  const found = await findIdentity(db.store, id)
  if (found === null) throw new Error(`no identity ${id}`)
  return found
}
const events = async (like = '%') =>
  (
    await db.store.query<{ type: string }>(
      "select body::jsonb ->> 'type' as type from evidence_event where body::jsonb ->> 'type' like $1 and log = 'identity' order by id",
      [like],
    )
  ).map(({ type }) => type)
const handovers = async () =>
  (await openHandovers(db.store, { limit: 100 })).map((it) => [it.identityName, it.to.name, it.rule, it.cause]).sort()

test('a person joins with the least, and answers for themself', async () => {
  const id = await join({ name: 'ada' })
  expect(await shown(id)).toMatchObject({
    name: 'ada',
    owner: 'ada',
    ownerId: id,
    ownerState: 'person',
    status: 'active',
    recoveryClass: 'human',
    tenancy: 'default',
    source: 'api',
    manager: null,
    ial: null,
    teams: [],
  })
  expect(await events()).toEqual(['identity.joined'])
})

test('everything that is given is kept', async () => {
  const boss = await join({ name: 'boss' })
  const at = new Date('2026-01-02T03:04:05Z')
  const id = await join({
    name: 'ada',
    manager: boss,
    source: 'scim:okta',
    externalIds: [{ source: 'scim:okta', id: '00u1' }],
    labels: { site: 'Paris', 'cost/center': '7' },
    entitlements: [
      { system: 'db', account: 'ada', role: 'reader' },
      { system: 'db', account: 'ada', role: 'reader' },
    ],
    ial: { level: 2, source: 'hr', at },
    recoveryClass: { class: 'emergency', reason: 'holds a break-glass account' },
  })
  expect(await shown('ada')).toMatchObject({
    id,
    owner: 'boss',
    manager: boss,
    managerName: 'boss',
    labels: { site: 'Paris', 'cost/center': '7' },
    entitlements: [{ system: 'db', account: 'ada', role: 'reader' }],
    externalIds: [{ source: 'scim:okta', id: '00u1' }],
    ial: { level: 2, source: 'hr', at },
    recoveryClass: 'emergency',
    recoveryClassReason: 'holds a break-glass account',
  })
  expect(await identityByExternalId(db.store, 'scim:okta', '00u1')).toBe(id)
  expect(await identityByExternalId(db.store, 'scim:entra', '00u1')).toBeNull()
})

test('who is no person needs an owner, a purpose and an environment, and an owner that has people', async () => {
  await expect(join({ name: 'api', kind: 'workload' })).rejects.toSatisfy(code('bad_input'))
  await expect(work('api', person(newId()))).rejects.toSatisfy(code('not_found'))
  const empty = await inTx((tx) => putTeam(tx, ctx, { name: 'empty' }))
  await expect(work('api', team(empty))).rejects.toSatisfy(code('bad_input'))
  const ada = await join({ name: 'ada' })
  const bot = await work('bot', person(ada))
  await expect(work('api', person(bot))).rejects.toSatisfy(code('not_found'))
  await expect(join({ name: 'eve', manager: bot })).rejects.toSatisfy(code('not_found'))
  await expect(work('api', person(ada), { manager: ada })).rejects.toSatisfy(code('bad_input'))
  await expect(work('api', person(ada), { ial: { level: 1, source: 'x', at: new Date() } })).rejects.toSatisfy(code('bad_input'))
  expect((await listIdentities(db.store, {}, { limit: 10 })).map(({ name }) => name)).toEqual(['ada', 'bot'])
})

test('a name is taken in any case, by one of two that join at the same moment; an external id by one identity', async () => {
  const both = await Promise.allSettled([join({ name: 'Ada' }), join({ name: 'ada' }), join({ name: 'ADA' })])
  expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const one of both) if (one.status === 'rejected') expect(isCode(one.reason, 'conflict')).toBe(true)
  await join({ name: 'one', externalIds: [{ source: 's', id: 'x' }] })
  await expect(join({ name: 'two', externalIds: [{ source: 's', id: 'x' }] })).rejects.toSatisfy(code('conflict'))
  expect(await findIdentity(db.store, 'two')).toBeNull()
})

test('suspend, resume and offboard move the status once, with an event and a row each', async () => {
  const id = await join({ name: 'ada' })
  const act = (verb: typeof suspendIdentity) => inTx((tx) => verb(tx, ctx, id, 'because'))
  expect([await act(suspendIdentity), await act(suspendIdentity)]).toEqual([true, false])
  expect([await act(resumeIdentity), await act(resumeIdentity)]).toEqual([true, false])
  expect([await act(offboardIdentity), await act(offboardIdentity)]).toEqual([true, false])
  await expect(act(suspendIdentity)).rejects.toSatisfy(code('wrong_state'))
  await expect(act(resumeIdentity)).rejects.toSatisfy(code('wrong_state'))
  await expect(act(leaveIdentity)).rejects.toSatisfy(code('wrong_state'))
  await expect(move(id, { purpose: 'other' })).rejects.toSatisfy(code('wrong_state'))
  const due = await dueChanges(db.store, 10)
  expect(due.map(({ identity, change, status }) => [identity, change, status])).toEqual([
    [id, 'suspended', 'offboarded'],
    [id, 'resumed', 'offboarded'],
    [id, 'offboarded', 'offboarded'],
  ])
  await inTx((tx) =>
    markHandled(
      tx,
      ctx,
      due.slice(0, 2).map((it) => it.id),
    ),
  )
  expect((await dueChanges(db.store, 10)).map(({ change }) => change)).toEqual(['offboarded'])
  expect(await events('identity.%')).toEqual([
    'identity.joined',
    'identity.suspended',
    'identity.resumed',
    'identity.handed_over',
    'identity.offboarded',
  ])
})

test('what fails after the change takes status, event and row back together', async () => {
  const id = await join({ name: 'ada' })
  const dying = inTx(async (tx) => {
    await suspendIdentity(tx, ctx, id, 'because')
    throw new Error('the process died')
  })
  await expect(dying).rejects.toThrow('the process died')
  expect((await shown(id)).status).toBe('active')
  expect(await dueChanges(db.store, 10)).toEqual([])
  expect(await events()).toEqual(['identity.joined'])
})

test('two that suspend at once make one event', async () => {
  const id = await join({ name: 'ada' })
  const done = await Promise.all(Array.from({ length: 6 }, () => inTx((tx) => suspendIdentity(tx, ctx, id, 'because'))))
  expect(done.filter(Boolean)).toHaveLength(1)
  expect(await dueChanges(db.store, 10)).toHaveLength(1)
})

test('an owner who leaves hands over to the manager', async () => {
  const boss = await join({ name: 'boss' })
  const ada = await join({ name: 'ada', manager: boss })
  const [one, two] = [await work('one', person(ada)), await work('two', person(ada))]
  expect(await inTx((tx) => leaveIdentity(tx, ctx, ada, 'resigned'))).toBe(true)
  expect(await inTx((tx) => leaveIdentity(tx, ctx, ada, 'resigned'))).toBe(false)
  for (const id of [one, two]) expect(await shown(id)).toMatchObject({ owner: 'boss', ownerId: boss })
  expect((await shown(ada)).status).toBe('suspended')
  expect(await handovers()).toEqual([
    ['one', 'boss', 'manager', 'left'],
    ['two', 'boss', 'manager', 'left'],
  ])
  await move(one, { owner: person(boss) })
  expect(await handovers()).toHaveLength(1)
  expect(await events('identity.left')).toHaveLength(1)
})

test('without a manager a team that still has people takes over, the nearest one; without one the owner of the owner', async () => {
  const [ada, bob, eve] = [await join({ name: 'ada' }), await join({ name: 'bob' }), await join({ name: 'eve' })]
  const [far, near, alone] = [
    await inTx((tx) => putTeam(tx, ctx, { name: 'far' })),
    await inTx((tx) => putTeam(tx, ctx, { name: 'near' })),
    await inTx((tx) => putTeam(tx, ctx, { name: 'alone' })),
  ]
  await inTx((tx) => addTeamMembers(tx, ctx, near, { identities: [ada] }))
  await inTx((tx) => addTeamMembers(tx, ctx, alone, { identities: [ada] }))
  await inTx((tx) => addTeamMembers(tx, ctx, far, { identities: [bob], teams: [near] }))
  const id = await work('api', person(ada))
  await inTx((tx) => offboardIdentity(tx, ctx, ada, 'gone'))
  expect(await shown(id)).toMatchObject({ owner: 'far', ownerState: 'team' })
  const carl = await join({ name: 'carl', owner: person(eve) })
  const job = await work('job', person(carl))
  await inTx((tx) => offboardIdentity(tx, ctx, carl, 'gone'))
  expect(await shown(job)).toMatchObject({ owner: 'eve', ownerId: eve })
  expect((await handovers()).map(([name, , rule]) => [name, rule])).toEqual(
    expect.arrayContaining([
      ['api', 'team'],
      ['job', 'owner_of_owner'],
    ]),
  )
})

test('a manager who is gone or suspended takes nothing over; in the end there is the security contact', async () => {
  const boss = await join({ name: 'boss' })
  const ada = await join({ name: 'ada', manager: boss, owner: person(boss) })
  const id = await work('api', person(ada))
  await inTx((tx) => suspendIdentity(tx, ctx, boss, 'under inquiry'))
  await inTx((tx) => offboardIdentity(tx, ctx, ada, 'gone'))
  const contact = await securityContact(db.store)
  expect(await shown(id)).toMatchObject({ ownerId: contact.id, ownerState: 'team_without_people' })
  expect(await handovers()).toContainEqual(['api', 'security-contact', 'security_contact', 'offboarded'])
})

test('two who leave at the same moment do not hand over to one another', async () => {
  const ada = await join({ name: 'ada' })
  const bob = await join({ name: 'bob', manager: ada })
  // A circle of managers that is refused now may be there from before.
  await db.store.query('update identity set manager_id = $2 where id = $1', [ada, bob])
  const ids = [await work('one', person(ada)), await work('two', person(bob))]
  await Promise.all([ada, bob].map((id) => inTx((tx) => offboardIdentity(tx, ctx, id, 'gone'))))
  for (const id of ids) expect([ada, bob]).not.toContain((await shown(id)).ownerId)
})

test('nothing is given to somebody who is just leaving', async () => {
  const ada = await join({ name: 'ada' })
  const jobs = Array.from({ length: 8 }, (_, n) => work(`job-${n}`, person(ada)).catch(() => null))
  const [, ...made] = await Promise.all([inTx((tx) => offboardIdentity(tx, ctx, ada, 'gone')), ...jobs])
  for (const id of made) if (id !== null) expect((await shown(id)).ownerId).not.toBe(ada)
})

test('declared owners are texts until exactly one person or team of the tenancy has the name', async () => {
  const api = { name: 'api', kind: 'workload', owner: 'team-a', purpose: 'serves', environment: 'prod' } as const
  await inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [api]))
  expect(await shown('api')).toMatchObject({ owner: 'team-a', ownerId: null, ownerState: 'unresolved' })
  await inTx((tx) => putTeam(tx, ctx, { name: 'team-a', tenancy: 'elsewhere' }))
  await inTx((tx) => putTeam(tx, ctx, { name: 'Team-A' }))
  expect((await shown('api')).ownerState).toBe('unresolved')
  const id = await inTx((tx) => putTeam(tx, ctx, { name: 'team-a', source: 'scim:okta', externalId: 'g1' }))
  expect(await shown('api')).toMatchObject({ owner: 'team-a', ownerId: id, ownerState: 'team_without_people' })
  // Resolved once: a second one of that name changes nothing, and neither does a new name.
  await inTx((tx) => putTeam(tx, ctx, { name: 'team-a', source: 'scim:entra', externalId: 'g1' }))
  await inTx((tx) => putTeam(tx, ctx, { name: 'renamed', source: 'scim:okta', externalId: 'g1' }))
  expect(await shown('api')).toMatchObject({ owner: 'renamed', ownerId: id })
  await inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [{ ...api, name: 'other' }]))
  // One team of that name is left in the tenancy.
  expect((await shown('other')).ownerState).toBe('team_without_people')
  await inTx((tx) => putTeam(tx, ctx, { name: 'team-a', source: 'api' }))
  await inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [{ ...api, name: 'third' }]))
  expect((await shown('third')).ownerState).toBe('unresolved')
})

test('a fleet file that is applied again does not give an identity back to an owner who left', async () => {
  const ada = { name: 'ada', kind: 'human', owner: 'ada', purpose: 'works', environment: 'none' } as const
  const api = { name: 'api', kind: 'workload', owner: 'ada', purpose: 'serves', environment: 'prod' } as const
  await inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [api, ada]))
  const { ownerId } = await shown('api')
  expect(ownerId).toBe((await shown('ada')).id)
  await inTx((tx) => offboardIdentity(tx, ctx, ownerId ?? '', 'gone'))
  await inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [api, { ...ada, purpose: 'worked' }]))
  expect(await shown('api')).toMatchObject({ owner: 'security-contact' })
  await inTx((tx) => removeIdentities(tx, ctx, permitted(ctx), ['ada']))
  expect(await findIdentity(db.store, 'ada')).toBeNull()
})

test('removing an owner by a fleet file hands over first, and leaves nobody with a manager who is not there', async () => {
  const [ada, bob] = [await join({ name: 'ada' }), await join({ name: 'bob' })]
  await move(bob, { manager: ada })
  const id = await work('api', person(ada))
  await inTx((tx) => removeIdentities(tx, ctx, permitted(ctx), ['ada']))
  expect(await shown(id)).toMatchObject({ owner: 'security-contact' })
  expect((await shown(bob)).manager).toBeNull()
  expect(await handovers()).toContainEqual(['api', 'security-contact', 'security_contact', 'removed'])
})

test('a removed team hands over to the team around it that has people', async () => {
  const ada = await join({ name: 'ada' })
  const [outer, inner] = [await inTx((tx) => putTeam(tx, ctx, { name: 'outer' })), await inTx((tx) => putTeam(tx, ctx, { name: 'inner' }))]
  await inTx((tx) => addTeamMembers(tx, ctx, outer, { teams: [inner] }))
  await inTx((tx) => addTeamMembers(tx, ctx, inner, { identities: [ada] }))
  const id = await work('api', team(inner))
  await inTx((tx) => addTeamMembers(tx, ctx, outer, { identities: [ada] }))
  await inTx((tx) => removeTeam(tx, ctx, inner))
  expect(await shown(id)).toMatchObject({ owner: 'outer', ownerState: 'team' })
  await inTx((tx) => removeTeamMembers(tx, ctx, outer, { identities: [ada] }))
  expect((await shown(id)).ownerState).toBe('team_without_people')
  await inTx((tx) => removeTeam(tx, ctx, outer))
  expect((await shown(id)).owner).toBe('security-contact')
  const contact = await securityContact(db.store)
  await expect(inTx((tx) => removeTeam(tx, ctx, contact.id))).rejects.toSatisfy(code('wrong_state'))
})

test("a mover's entitlements leave rows for whoever narrows credentials", async () => {
  const read = { system: 'db', account: 'ada', role: 'reader' }
  const write = { system: 'db', account: 'ada', role: 'writer' }
  const id = await join({ name: 'ada', entitlements: [read] })
  expect(await move(id, { entitlements: [read] })).toBe(false)
  expect(await dueEntitlements(db.store, 10)).toEqual([])
  expect(await move(id, { entitlements: [write] })).toBe(true)
  const due = await dueEntitlements(db.store, 10)
  expect(due.map(({ identity, role, change }) => [identity, role, change])).toEqual([
    [id, 'reader', 'removed'],
    [id, 'writer', 'added'],
  ])
  expect((await shown(id)).entitlements).toEqual([write])
  await inTx((tx) =>
    markEntitlementsHandled(
      tx,
      due.map((it) => it.id),
    ),
  )
  expect(await dueEntitlements(db.store, 10)).toEqual([])
  expect(await events()).toContain('identity.moved')
})

test('ownership follows a workload to another tenancy: to the team of that name there, else to the security contact', async () => {
  const ada = await join({ name: 'ada' })
  const [here, there] = [
    await inTx((tx) => putTeam(tx, ctx, { name: 'crew' })),
    await inTx((tx) => putTeam(tx, ctx, { name: 'crew', tenancy: 'b' })),
  ]
  for (const id of [here, there]) await inTx((tx) => addTeamMembers(tx, ctx, id, { identities: [ada] }))
  const [one, two, three] = [await work('one', team(here)), await work('two', person(ada)), await work('three', team(here))]
  await move(one, { tenancy: 'b' })
  await move(two, { tenancy: 'b' })
  await move(three, { tenancy: 'c', owner: team(there) })
  expect(await shown(one)).toMatchObject({ tenancy: 'b', ownerId: there })
  expect(await shown(two)).toMatchObject({ owner: 'security-contact' })
  expect(await shown(three)).toMatchObject({ tenancy: 'c', ownerId: there })
  expect(await handovers()).toEqual([
    ['one', 'crew', 'same_name_team', 'moved'],
    ['two', 'security-contact', 'security_contact', 'moved'],
  ])
})

test('a person who moves to another tenancy hands over what they own in the one they leave', async () => {
  const boss = await join({ name: 'boss' })
  const ada = await join({ name: 'ada', manager: boss, owner: { kind: 'name', name: 'nobody' } })
  const [here, there] = [await work('here', person(ada)), await work('there', person(ada), { tenancy: 'b' })]
  await move(ada, { tenancy: 'b' })
  expect((await shown(here)).ownerId).toBe(boss)
  expect((await shown(there)).ownerId).toBe(ada)
})

test('a changed name is followed everywhere that shows it', async () => {
  const id = await join({ name: 'ada', labels: { site: 'x' } })
  const crew = await inTx((tx) => putTeam(tx, ctx, { name: 'crew' }))
  await inTx((tx) => addTeamMembers(tx, ctx, crew, { identities: [id] }))
  const api = await work('api', person(id))
  await move(id, { name: 'zoe' })
  expect((await shown(api)).owner).toBe('zoe')
  const page = { limit: 10 }
  for (const filter of [{ team: 'crew' }, { label: { key: 'site', value: 'x' } }, { owner: 'zoe', kind: 'workload' as const }]) {
    expect(await listIdentities(db.store, filter, page)).toHaveLength(1)
  }
  await join({ name: 'ada' })
  await expect(move(id, { name: 'ADA' })).rejects.toSatisfy(code('conflict'))
  expect(await move(id, { name: 'Zoe' })).toBe(true)
})

test('labels and external ids are changed one by one in the record', async () => {
  const id = await join({ name: 'ada', labels: { a: '1', b: '2' }, externalIds: [{ source: 's', id: 'x' }] })
  await move(id, {
    labels: { b: '3', c: '4' },
    externalIds: [
      { source: 's', id: null },
      { source: 't', id: 'y' },
    ],
  })
  expect(await shown(id)).toMatchObject({ labels: { b: '3', c: '4' }, externalIds: [{ source: 't', id: 'y' }] })
  const [told] = await db.store.query<{ data: unknown }>(
    `select body::jsonb -> 'data' as data from evidence_event
      where body::jsonb ->> 'type' = 'identity.labels_changed' order by id desc limit 1`,
  )
  expect(told?.data).toEqual({ labels: { a: null, b: '3', c: '4' } })
})

test('nothing is given to somebody who has left, though they are only suspended yet', async () => {
  const ada = await join({ name: 'ada' })
  await inTx((tx) => leaveIdentity(tx, ctx, ada, 'gone'))
  await expect(work('job', person(ada))).rejects.toThrow('ada has left and answers for nothing.')
  const api = { name: 'api', kind: 'workload', owner: 'ada', purpose: 'serves', environment: 'prod' } as const
  await inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [api]))
  expect((await shown('api')).ownerState).toBe('unresolved')
})
