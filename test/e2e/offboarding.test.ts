/** A directory's order to end somebody, where a rule says that others must approve it: it waits, over the death of a process too. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Provider } from '../../src/api/routes/scim/testing.ts'
import { offboardDue } from '../../src/identity/scim/index.ts'
import { makeCtx, sleep } from '../../src/kernel/index.ts'
import { type Started, startProgram } from '../cli/process.ts'
import { PeopleLab, type SomePerson } from './people.ts'

const PROGRAM = new URL('../../bin/rekey', import.meta.url).pathname
let lab: PeopleLab
let ada: SomePerson
let bob: SomePerson
let corp: Provider
let guards: string
const workers: Started[] = []

beforeAll(async () => {
  lab = await PeopleLab.start()
  ada = await lab.person('ada')
  bob = await lab.person('bob')
  guards = await lab.team('guards', ada, bob)
  corp = await Provider.add(lab.server, 'corp-directory', { offboardAfterSeconds: 0 })
  const rule = await lab.admin('approval', 'rule', 'set', 'identity:offboard', '--factor', `${guards}:2`, '--reason', 'two pairs of eyes')
  expect(rule.status, rule.stderr).toBe(0)
}, 60_000)
afterEach(() => expect(lab.server.undeclared()).toEqual([]))
afterAll(async () => {
  for (const worker of workers) worker.destroy()
  await lab?.stop()
})

/** A worker process of its own on the same database, with the same keys. */
function worker(): Started {
  const { host, port, user, database } = lab.server.db.connection
  const url = `postgres://${user}@localhost:${port}/${database}?host=${host}`
  const { PATH = '' } = process.env
  const env = { PATH, HOME: lab.server.folder, DATABASE_URL: url, REKEY_DATA: lab.server.folder, REKEY_LOG: 'warn' }
  const started = startProgram([PROGRAM, 'serve', '--role', 'worker'], lab.server.folder, env, null)
  workers.push(started)
  return started
}

async function until<T>(what: () => Promise<T | undefined | false>, why: () => string): Promise<T> {
  for (let tries = 0; tries < 300; tries++) {
    const found = await what()
    if (found !== undefined && found !== false) return found
    await sleep(100)
  }
  throw new Error(`it never came: ${why()}`)
}

interface Request {
  readonly id: string
  readonly state: string
  readonly requestedBy: { readonly name: string }
}

const says = (user: string, active: boolean) => corp.patch(`/Users/${user}`, { op: 'replace', path: 'active', value: active })
const statusOf = async (name: string) => (await lab.server.get(`/v1/identities/${name}`)).body.status as string
const requestFor = async (name: string): Promise<Request | undefined> =>
  (await ada.browser.get('/v1/approvals?of=mine')).body.items.find((it: { subject: string }) => it.subject === name)
const findings = async () => (await lab.server.get('/v1/findings?kind=offboarding_waits')).body.items
const decide = async (who: SomePerson, id: string, verb: 'approve' | 'reject') => {
  const { digest } = (await who.browser.get(`/v1/approvals/${id}`)).body
  const done = await who.browser.post(`/v1/approvals/${id}/${verb}`, { digest, reason: 'seen the ticket' })
  expect(done.status, done.text).toBe(200)
}
/** What a process would do, so many seconds from now. */
const look = (seconds = 0) => {
  const clock = { now: () => new Date(Date.now() + seconds * 1000), monotonicMs: () => performance.now() }
  return offboardDue(lab.server.db.store, makeCtx('offboarding', 'test', { clock }))
}

test('suspended at once by the directory’s word; ended only when two have approved it, though a process died in between', async () => {
  const user = await corp.user('eve')
  await says(user, false)
  expect(await statusOf('eve')).toBe('suspended')
  const first = worker()
  const request = await until(
    () => requestFor('eve'),
    () => first.output().stderr,
  )
  expect(request).toMatchObject({ state: 'requested', requestedBy: { name: 'SCIM provider corp-directory' } })
  expect(await findings()).toMatchObject([{ subject: 'eve', detail: expect.stringContaining('others must approve it') }])
  first.destroy()
  await first.done
  await decide(ada, request.id, 'approve')
  await lab.server.db.store.query("update scim_wait set looked_at = now() - interval '2 minutes'")
  expect(await look(), 'one of two').toBe(1)
  expect(await statusOf('eve')).toBe('suspended')
  await decide(bob, request.id, 'approve')
  expect(await statusOf('eve')).toBe('suspended')
  const second = worker()
  await until(
    async () => (await statusOf('eve')) === 'offboarded',
    () => second.output().stderr,
  )
  second.destroy()
  await second.done
  expect((await requestFor('eve'))?.state).toBe('consumed')
  expect(await findings()).toEqual([])
  expect((await lab.events('approval.requested')).filter(({ subject }) => subject === 'eve')).toHaveLength(1)
})

test('a rejection leaves it suspended and is not asked again; the directory can still bring it back', async () => {
  const user = await corp.user('fay')
  await says(user, false)
  expect(await look()).toBe(1)
  const request = await until(
    () => requestFor('fay'),
    () => 'no request',
  )
  expect(await look(), 'not looked at in the next moment').toBe(0)
  await decide(bob, request.id, 'reject')
  expect(await look(5)).toBe(1)
  expect(await look(600)).toBe(0)
  expect(await statusOf('fay')).toBe('suspended')
  expect((await lab.events('identity.offboarding_cancelled')).at(-1)?.data.reason).toContain('Who had to approve it did not')
  await says(user, true)
  expect(await statusOf('fay')).toBe('active')
})

test('who comes back while it waits comes back: the request is withdrawn, and an approval is of no use', async () => {
  const user = await corp.user('gil')
  await says(user, false)
  await look()
  const request = await until(
    () => requestFor('gil'),
    () => 'no request',
  )
  await decide(ada, request.id, 'approve')
  await says(user, true)
  expect((await requestFor('gil'))?.state).toBe('withdrawn')
  expect(await look(600)).toBe(0)
  expect(await statusOf('gil')).toBe('active')
  expect(await findings()).toEqual([])
})

test('an expired request is asked again; where nobody could approve it still waits, is seen, and holds nobody up', async () => {
  const [hal, ivy] = [await corp.user('hal'), await corp.user('ivy')]
  await says(hal, false)
  await look()
  const request = await until(
    () => requestFor('hal'),
    () => 'no request',
  )
  await lab.server.db.store.query("update approval set requested_at = now() - interval '3 days', expires_at = now() where id = $1", [
    request.id,
  ])
  await look(70)
  expect((await requestFor('hal'))?.id).not.toBe(request.id)
  await lab.server.post(`/v1/teams/${guards}/members`, { remove: { identities: [bob.id] } })
  await says(ivy, false)
  await look(140)
  expect(await statusOf('ivy')).toBe('suspended')
  const waits = await findings()
  expect(waits.map(({ subject }: { subject: string }) => subject).sort()).toEqual(['hal', 'ivy'])
  expect(waits.find(({ subject }: { subject: string }) => subject === 'ivy').detail).toContain('1 people who may approve')
  // Without the rule it is as without it: the delay is over.
  await lab.server.db.store.query("delete from approval_rule where action = 'identity:offboard'")
  await look(220)
  expect([await statusOf('hal'), await statusOf('ivy')]).toEqual(['offboarded', 'offboarded'])
  expect(await findings()).toEqual([])
})
