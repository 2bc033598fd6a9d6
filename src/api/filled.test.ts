/** What was approved for the people of a team is for those who were in it then: who comes in later gets nothing by it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'
import type { Answered } from './testing.ts'

let people: People
beforeAll(async () => {
  people = await People.start()
})
afterAll(() => people.stop())

const shown = async (by: Asker, id: string) => done(await by.get(`/v1/approvals/${id}`))
async function approve(by: Asker, id: string): Promise<string> {
  const { digest } = await shown(by, id)
  return done(await by.post(`/v1/approvals/${id}/approve`, { reason: 'read it', digest })).state
}
const add = (by: Pick<Asker, 'post'>, team: string, ...ids: string[]) => by.post(`/v1/teams/${team}/members`, { add: { identities: ids } })
const remove = (by: Pick<Asker, 'post'>, team: string, ...ids: string[]) =>
  by.post(`/v1/teams/${team}/members`, { remove: { identities: ids } })
const reads = async (by: Asker) => (await by.get('/v1/systems')).status

/** With a rule by which one of `crew` approves whoever gets a role; ended when it is done. */
async function ruled(action: string, crew: string, act: () => Promise<void>): Promise<void> {
  await people.made('/v1/approval-rules', { action, factors: [{ team: crew, count: 1 }], reason: 'two pairs of eyes' })
  try {
    await act()
  } finally {
    expect((await people.server.post(`/v1/approval-rules/${action}/remove`, { reason: 'end of test' })).status).toBe(204)
  }
}

function waits(answer: Answered): string {
  expect([answer.status, answer.body.code], answer.text).toEqual([409, 'approval_required'])
  return answer.body.approval
}

async function cast() {
  const x = newId().slice(-6)
  const [sec, dir, bob, alice, mallory] = await Promise.all([
    people.person(`sec-${x}`, 'security-admin'),
    people.person(`dir-${x}`, 'directory-admin'),
    people.person(`bob-${x}`),
    people.person(`alice-${x}`),
    people.person(`mallory-${x}`),
  ])
  return { x, sec, dir, bob, alice, mallory, crew: await people.team(`crew-${x}`, bob) }
}

test('an approved binding to a team is for those who are in it, by name, and not for whoever is put into it afterwards', async () => {
  const { x, sec, dir, bob, alice, mallory, crew } = await cast()
  const [inner, zoe] = [await people.team(`inner-${x}`, alice), await people.person(`zoe-${x}`)]
  const team = await people.team(`runs-${x}`, zoe)
  done(await people.server.post(`/v1/teams/${team}/members`, { add: { teams: [inner] } }))
  await ruled('role:bind', crew, async () => {
    const body = { role: 'credential-admin', kind: 'team', subject: team, reason: 'alice runs credentials' }
    const first = waits(await sec.post('/v1/role-bindings', body))
    const { words, what } = await shown(bob, first)
    expect(words).toContain(`the team "runs-${x}" (${team})`)
    expect(words).toContain(`It reaches 2 through teams as they are now: "alice-${x}", "zoe-${x}".`)
    expect(what.people).toEqual([alice.id, zoe.id].sort())
    expect(await approve(bob, first)).toBe('approved')
    // Whoever only keeps teams puts somebody in, deep inside: the approval is not for them.
    done(await add(dir, inner, mallory.id))
    const late = await sec.post('/v1/role-bindings', body)
    const second = waits(late)
    expect(second).not.toBe(first)
    expect(late.body.detail).toContain(`"mallory-${x}" came into it since approval ${first}`)
    expect((await shown(bob, second)).words).toContain(`"mallory-${x}"`)
    expect(await reads(mallory)).toBe(403)
    // Asked again, it is the same request; and the first fits once nobody is there whom it did not name. Who goes breaks nothing.
    expect(waits(await sec.post('/v1/role-bindings', body))).toBe(second)
    done(await remove(dir, inner, mallory.id))
    done(await remove(dir, team, zoe.id))
    expect((await sec.post('/v1/role-bindings', body)).status).toBe(201)
    expect((await shown(bob, first)).state).toBe('consumed')
    expect([await reads(alice), await reads(zoe), await reads(mallory)]).toEqual([200, 403, 403])
  })
})

test('an approved nesting is for those who are in the nested team, and not for whoever fills it afterwards', async () => {
  const { x, dir, bob, alice, mallory, crew } = await cast()
  const admin = await people.person(`admin-${x}`, 'bootstrap-admin')
  const [top, child] = [await people.team(`top-${x}`), await people.team(`child-${x}`)]
  await people.made('/v1/role-bindings', { role: 'credential-admin', kind: 'team', subject: top, reason: 'tests' })
  await ruled('role:bind', crew, async () => {
    const body = { add: { teams: [child], identities: [alice.id] }, reason: 'an empty team' }
    const first = waits(await admin.post(`/v1/teams/${top}/members`, body))
    const { words } = await shown(bob, first)
    expect(words).toContain('It reaches nobody through teams as they are now.')
    expect(words).toContain(`"child-${x}" (${child})`)
    expect(words).toContain(`"alice-${x}" (${alice.id})`)
    expect(await approve(bob, first)).toBe('approved')
    done(await add(dir, child, mallory.id))
    const late = await admin.post(`/v1/teams/${top}/members`, body)
    expect(waits(late)).not.toBe(first)
    expect(late.body.detail).toContain(`"mallory-${x}" came into it`)
    expect(await reads(mallory)).toBe(403)
  })
})

test('approved policies that name a team are for those who are in it', async () => {
  const { x, sec, dir, bob, alice, mallory, crew } = await cast()
  const team = await people.team(`named-${x}`, alice)
  await ruled('policy:approve', crew, async () => {
    const text = `permit (principal in Team::"${team}", action in Action::"credential", resource);\n`
    const set = done(await sec.post('/v1/policies', { files: [{ name: `n-${x}.cedar`, text }], reason: 'the team runs it' }))
    expect((await shown(bob, set.approval)).words).toContain(`It reaches 1 through teams as they are now: "alice-${x}".`)
    expect(await approve(bob, set.approval)).toBe('approved')
    done(await add(dir, team, mallory.id))
    const activate = () => sec.post(`/v1/policies/${set.id}/approve`, { digest: set.digest, reason: 'it was approved' })
    const late = await activate()
    waits(late)
    expect(late.body.detail).toContain(`"mallory-${x}" came into it`)
    done(await remove(dir, team, mallory.id))
    done(await activate())
    expect([await reads(alice), await reads(mallory)]).toEqual([200, 403])
  })
})
