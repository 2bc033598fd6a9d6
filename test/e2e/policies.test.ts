/** A change of policy as people make it: by their own logins, on the command line and over HTTP, until it decides. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { PeopleLab, type SomePerson } from './people.ts'

let lab: PeopleLab
let ada: SomePerson
let bob: SomePerson
let cyd: SomePerson
let dan: SomePerson
const REASON = 'the night shift may rotate'
const NIGHT = 'permit (principal in Role::"night", action == Action::"rotation:start", resource);\n'

beforeAll(async () => {
  lab = await PeopleLab.start()
}, 60_000)
afterAll(() => lab?.stop())
afterEach(() => expect(lab.server.undeclared()).toEqual([]))

const json = ({ stdout }: { stdout: string }) => JSON.parse(stdout)
const idsIn = (value: unknown) => (Array.isArray(value) ? value.map(String).sort() : [])
const night = { action: 'rotation:start', principal: { kind: 'workload', roles: ['night'] } }
const allowed = async () => (await lab.server.post('/v1/policies/explain', night)).body.allowed

test('whoever is alone bypasses with the first token and a reason; as soon as somebody could approve, no token does', async () => {
  const alone = lab.folder('alone', { 'alone.cedar': NIGHT.replace('night', 'alone') })
  const proposed = json(await lab.admin('policy', 'propose', alone, '--reason', REASON, '--json'))
  expect(proposed.approval).toBeNull()
  const approved = await lab.admin('policy', 'approve', proposed.id, '--digest', proposed.digest, '--reason', 'read and agreed')
  expect(approved.status).not.toBe(0)
  expect((await lab.admin('policy', 'bypass', proposed.id, '--reason', 'short', '--yes')).status).not.toBe(0)
  const done = await lab.admin('policy', 'bypass', proposed.id, '--reason', 'nobody else is here yet', '--yes')
  expect(done.status, done.stderr).toBe(0)
  expect(await lab.events('policy.approved')).toEqual([])
  expect((await lab.events('policy.bypassed')).map(({ data }) => data.reason)).toEqual(['nobody else is here yet'])

  ada = await lab.person('ada', 'security-admin')
  const more = lab.folder('more', { 'more.cedar': NIGHT.replace('night', 'more') })
  const again = json(await lab.admin('policy', 'propose', more, '--reason', REASON, '--json'))
  const refused = await lab.admin('policy', 'bypass', again.id, '--reason', 'nobody else is here yet', '--yes')
  expect(refused.status).not.toBe(0)
  expect(refused.stderr).toContain('Somebody is there who may approve policies')
  // Whoever is there has read it, and needs nobody's token.
  const one = await ada.rekey('policy', 'approve', again.id, '--digest', again.digest, '--reason', 'read and agreed')
  expect(one.status, one.stderr).toBe(0)
  const [last] = await lab.events('policy.approved')
  expect(last?.data.approvedBy).toEqual([ada.id])
})

test('two others approve exactly what is proposed, in words and by digest; then it decides, and evidence says so', async () => {
  bob = await lab.person('bob', 'approver')
  cyd = await lab.person('cyd')
  dan = await lab.person('dan')
  const guards = await lab.team('guards', ada, bob, cyd, dan)
  const set = await lab.admin('approval', 'rule', 'set', 'policy:approve', '--factor', `${guards}:2`, '--reason', 'four eyes on policy')
  expect(set.status, set.stderr).toBe(0)

  const folder = lab.folder('night', { 'night.cedar': NIGHT })
  const proposed = json(await ada.rekey('policy', 'propose', folder, '--reason', REASON, '--json'))
  expect(proposed.approval).not.toBeNull()
  // Who proposed it is not asked; who has it in sight says yes to nothing else.
  expect((await ada.rekey('approval', 'list', '--of', 'decide', '--json')).stdout).not.toContain(proposed.approval)
  const digestOf = async (who: SomePerson) => json(await who.rekey('approval', 'show', proposed.approval, '--json')).digest
  const own = await ada.rekey('approval', 'approve', proposed.approval, '--reason', 'mine', '--digest', await digestOf(ada))
  expect(own.status).not.toBe(0)
  expect(own.stderr).toContain('Who asks does not decide')
  const waits = await ada.rekey('policy', 'approve', proposed.id, '--digest', proposed.digest, '--reason', 'read and agreed')
  expect(waits.status).not.toBe(0)
  expect(waits.stderr).toContain(`rekey approval show ${proposed.approval}`)

  const shown = await bob.rekey('approval', 'show', proposed.approval)
  expect(shown.stdout).toContain(`    +${NIGHT.trim()}`)
  expect(shown.stdout).toContain(`says: "${REASON}"`)
  expect(shown.stdout).toContain(proposed.digest)
  const digest = await digestOf(bob)
  const other = digest.replace(/^./, (digit: string) => (digit === '0' ? '1' : '0'))
  const wrong = await bob.rekey('approval', 'approve', proposed.approval, '--reason', 'read it', '--digest', other)
  expect(wrong.status).not.toBe(0)
  expect((await bob.rekey('approval', 'approve', proposed.approval, '--reason', 'read it', '--digest', digest)).status).toBe(0)
  expect((await bob.rekey('approval', 'approve', proposed.approval, '--reason', 'and again', '--digest', digest)).status).not.toBe(0)
  expect(
    (await ada.rekey('policy', 'approve', proposed.id, '--digest', proposed.digest, '--reason', 'read and agreed')).status,
    'one of two',
  ).not.toBe(0)
  // The second one by a browser, as the console would.
  const seen = (await cyd.browser.get(`/v1/approvals/${proposed.approval}`)).body
  const said = await cyd.browser.post(`/v1/approvals/${proposed.approval}/approve`, { digest: seen.digest, reason: 'read it too' })
  expect(said.body.state, said.text).toBe('approved')
  expect(await allowed()).toBe(false)

  // One byte of what is stored is another set, whatever was approved.
  const { store } = lab.server.db
  const [row] = await store.query<{ files: { name: string; text: string }[] }>('select files from policy_set where id = $1', [proposed.id])
  const tampered = JSON.stringify(row?.files).replace('Role::\\"night\\"', 'Role::\\"nighT\\"')
  expect(tampered).not.toBe(JSON.stringify(row?.files))
  await store.query('update policy_set set files = $2::jsonb where id = $1', [proposed.id, tampered])
  expect(
    (await ada.rekey('policy', 'approve', proposed.id, '--digest', proposed.digest, '--reason', 'read and agreed')).status,
    'one changed byte',
  ).not.toBe(0)
  await store.query('update policy_set set files = $2::jsonb where id = $1', [proposed.id, JSON.stringify(row?.files)])

  const active = await ada.rekey('policy', 'approve', proposed.id, '--digest', proposed.digest, '--reason', 'read and agreed')
  expect(active.status, active.stderr).toBe(0)
  expect(await allowed()).toBe(true)
  const approved = (await lab.events('policy.approved')).at(-1)
  expect(approved?.data).toMatchObject({ digest: proposed.digest, proposedBy: `person:${ada.id}` })
  expect(idsIn(approved?.data.approvedBy)).toEqual([bob.id, cyd.id].sort())
  expect((await lab.events('policy.activated')).at(-1)?.links).toMatchObject({ policySet: proposed.id })
  expect((await lab.events('approval.consumed')).at(-1)?.links).toMatchObject({ approval: proposed.approval })
})

test('under a rule nobody goes around the request: no program at all, a person by bypassing it, and its approvers are told', async () => {
  const chief = await lab.person('chief', 'bootstrap-admin')
  const propose = async (name: string) => {
    const folder = lab.folder(name, { [`${name}.cedar`]: NIGHT.replace('night', name) })
    return json(await ada.rekey('policy', 'propose', folder, '--reason', REASON, '--json'))
  }
  const around = await propose('noon')
  const told = { digest: around.digest, reason: 'in a great hurry' }
  expect((await lab.server.post(`/v1/policies/${around.id}/bypass`, told)).status).toBe(403)
  const past = await chief.rekey('policy', 'bypass', around.id, '--reason', 'in a great hurry', '--yes')
  expect(past.status, past.stderr).toBe(0)
  expect(idsIn((await lab.events('approval.bypassed')).at(-1)?.data.skipped)).toEqual([bob.id, cyd.id, dan.id].sort())
  const proposed = await propose('day')
  const { digest } = json(await chief.rekey('approval', 'show', proposed.approval, '--json'))
  const through = await chief.rekey('approval', 'bypass', proposed.approval, '--reason', 'in a great hurry', '--digest', digest)
  expect(through.status, through.stderr).toBe(0)
  const done = await chief.rekey('policy', 'approve', proposed.id, '--digest', proposed.digest, '--reason', 'read and agreed')
  expect(done.status, done.stderr).toBe(0)
  const bypasses = await lab.events('approval.bypassed')
  expect(bypasses).toHaveLength(2)
  const bypassed = bypasses.at(-1)
  expect(idsIn(bypassed?.data.skipped)).toEqual([bob.id, cyd.id, dan.id].sort())
})

test('a session for the command line is as good as the login, ends with the person, and is no cookie', async () => {
  const eve = await lab.person('eve', 'auditor')
  const made = await eve.browser.post('/v1/session/command-line')
  const bearer = (token: string) => lab.server.send('GET', '/v1/session', { token })
  const me = await bearer(made.body.token)
  expect(me.body).toMatchObject({ kind: 'person', name: 'eve', aal: 2, session: made.body.session })
  // Neither is good in the place of the other.
  const cookie = eve.browser.cookies.get('rekey-session') ?? ''
  expect((await bearer(cookie)).status).toBe(401)
  expect((await bearer(`rekey-session_${cookie}`)).status).toBe(401)
  const asCookie = `rekey-session=${made.body.token}`
  expect((await lab.server.send('GET', '/v1/session', { token: null, headers: { cookie: asCookie } })).status).toBe(401)
  const stripped = `rekey-session=${made.body.token.replace('rekey-session_', '')}`
  expect((await lab.server.send('GET', '/v1/session', { token: null, headers: { cookie: stripped } })).status).toBe(401)
  // A token has none to give, and an old login gives none.
  expect((await lab.server.post('/v1/session/command-line')).status).toBe(409)
  await lab.server.db.store.query("update session set authenticated_at = now() - interval '16 minutes' where identity_id = $1", [eve.id])
  const old = await eve.browser.post('/v1/session/command-line')
  expect([old.status, old.body.stepUp]).toEqual([401, { aal: 2, maxAgeSeconds: 900 }])
  await lab.server.post('/v1/identities/eve/suspend', { reason: 'laptop lost' })
  expect((await bearer(made.body.token)).status).toBe(401)
  expect(JSON.stringify(await lab.server.db.store.query('select * from session'))).not.toContain(made.body.token)
})
