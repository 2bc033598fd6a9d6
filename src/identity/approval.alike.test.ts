/** What is open for the same thing is found, whatever else is open. */
import { expect, test } from 'vitest'
import { ada, admin, approve, ctx, db, join, may, person, policies, rule, setUp, show, tx, waits } from '../../test/lab/approvals.ts'
import { newId } from '../kernel/index.ts'
import { openAlike } from './approval.store.ts'
import { addTeamMembers, bindRole, putTeam } from './index.ts'

setUp()

/** Requests after this one that say something else, newer than any other: as somebody who floods would make them. */
async function flood(id: string, rows: { readonly what: string; readonly state?: string; readonly marks: string }): Promise<void> {
  const columns = [
    'action',
    'subject',
    'words',
    'requester_kind',
    'requester_id',
    'requester_name',
    'excluded',
    'requested_at',
    'expires_at',
  ]
  await db.store.query(
    `insert into approval (id, what, state, digest, ${columns})
     select ($2 || lpad(n::text, 12, '0'))::uuid, ${rows.what}, '${rows.state ?? 'requested'}', encode(sha256(($2 || n)::bytea), 'hex'),
            ${columns}
       from approval, generate_series(1, 300) n where id = $1`,
    [id, `ffffffff-000${rows.marks}-7000-8000-`],
  )
  await db.store.query(
    `insert into approval_factor select a.id, f.position, f.team_id, f.team_name, f.count, f.aal, f.passkey
       from approval_factor f, approval a where f.approval_id = $1 and starts_with(a.id::text, $2)`,
    [id, `ffffffff-000${rows.marks}-7000-8000-`],
  )
}

test('what was approved is found however many others are open for the same role and team', async () => {
  await rule('role:bind')
  const team = await tx((tx) => putTeam(tx, ctx, { name: `t ${newId()}` }))
  const member = await join()
  await tx((tx) => addTeamMembers(tx, ctx, team, { identities: [member] }))
  const input = { role: 'operator', kind: 'team', subject: team, reason: 'runs the nights', force: false } as const
  const bind = () => bindRole(db.store, ctx, may(admin, 'role:bind'), admin, policies, input)
  const id = await waits(bind())
  await approve(person(ada), id)
  const reason = `replace(what, 'runs the nights', 'flood ' || n)`
  await flood(id, { what: reason, marks: '1' })
  await flood(id, { what: reason, state: 'approved', marks: '2' })
  // The very same, for other people: somebody else came into the team and went out again, each time.
  const others = `replace(what, '"people":[', '"people":["' || gen_random_uuid() || '",')`
  await flood(id, { what: others, marks: '3' })
  await flood(id, { what: others, state: 'approved', marks: '4' })
  const before = await db.store.query<{ count: number }>('select count(*)::int as count from approval')
  expect((await bind()).role).toBe('operator')
  expect(await show(person(ada), id)).toMatchObject({ state: 'consumed' })
  expect(await db.store.query('select count(*)::int as count from approval')).toEqual(before)
  await db.store.query("delete from approval_factor where starts_with(approval_id::text, 'ffffffff')")
  await db.store.query("delete from approval where starts_with(id::text, 'ffffffff')")
})

test('a reason that looks like the list of people is a reason; what is open for the same is looked up by the index', async () => {
  await rule('role:bind')
  const team = await tx((tx) => putTeam(tx, ctx, { name: `t ${newId()}` }))
  const asked = new Set<string>()
  for (const reason of ['"people":[]', '"people":["x"] and {} all', '"people":{"count":1}', 'plain']) {
    const input = { role: 'operator', kind: 'team', subject: team, reason, force: false } as const
    const bind = () => bindRole(db.store, ctx, may(admin, 'role:bind'), admin, policies, input)
    const id = await waits(bind())
    expect(await waits(bind())).toBe(id)
    asked.add(id)
  }
  expect(asked.size).toBe(4)
  const plan: object[] = []
  const explain = async (text: string, params?: readonly unknown[]) => {
    plan.push(...(await db.store.query(`explain ${text}`, params)))
    return []
  }
  await openAlike({ query: explain }, { action: 'role:bind', subject: 'x', what: '{}', digest: 'x' })
  expect(JSON.stringify(plan)).toContain('approval_alike')
})
