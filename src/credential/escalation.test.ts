/** What waits for a human is told to that human: to a real webhook and a real mail server, once, and across a restart. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import {
  addChannel,
  addTeamMembers,
  joinIdentity,
  offboardIdentity,
  putTeam,
  resumeIdentity,
  securityContact,
  sendDue,
  setTeamMembers,
  suspendIdentity,
} from '../identity/index.ts'
import { AddressGuard, newId, Secret, sleep } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { declareException } from './exception.ts'
import { listFindings } from './finding.list.ts'
import { missReviews, openReviews } from './review.ts'
import { Engine, namesAnybody } from './testing.ts'

interface Got {
  readonly event: string
  readonly about: { readonly subject: string; readonly system: string; readonly id: string; readonly link: string }
  readonly people: readonly { readonly name: string }[]
}

let target: LabPostgres
let engine: Engine
let system: string
let hooks: Got[] = []
let mails: { to: string; text: string }[] = []
const closers: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start()])
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  system = await engine.addSystem('orders-db', 'postgres', address, target.superuser)
  const [hook, smtp] = [await receiver(), await mailServer()]
  const may = allowed(engine.ctx, 'notify:configure')
  const link = 'https://rekey.example.com'
  const url = `http://127.0.0.1:${hook}/hook`
  const secret = Secret.fromText(`webhook key ${newId()}`)
  await addChannel(notify(), engine.ctx, may, { name: 'chat', kind: 'webhook', secret, settings: { url, link, ca: null } })
  const settings = { host: '127.0.0.1', port: smtp, tls: 'none', from: 'rekey@example.com', user: null, link, ca: null } as const
  await addChannel(notify(), engine.ctx, may, { name: 'mail', kind: 'smtp', secret: null, settings })
})
afterAll(async () => {
  for (const close of closers) await close()
  await engine.stop()
  await target.stop()
})
beforeEach(() => {
  ;[hooks, mails] = [[], []]
})

const notify = () => ({ store: engine.db.store, keyring: engine.parts.keyring, guard: new AddressGuard() })

async function receiver(): Promise<number> {
  const server = createServer((request: IncomingMessage, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk
    })
    request.on('end', () => {
      hooks.push(JSON.parse(body))
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => new Promise((resolve) => server.close(resolve)))
  return (server.address() as AddressInfo).port
}

async function mailServer(): Promise<number> {
  const server = new SMTPServer({
    authOptional: true,
    disableReverseLookup: true,
    logger: false,
    onData: (stream, session, done) => {
      let text = ''
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      stream.on('end', () => {
        mails.push(...session.envelope.rcptTo.map(({ address }) => ({ to: address, text })))
        done()
      })
    },
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => new Promise((resolve) => server.close(() => resolve(undefined))))
  return (server.server.address() as AddressInfo).port
}

const inTx = <T>(use: Parameters<typeof engine.db.store.inTx<T>>[0]) => engine.db.store.inTx(use)
let serial = 0
async function person(more: object = {}): Promise<{ id: string; name: string; email: string }> {
  const name = `person-${++serial}`
  const email = `${name}@example.com`
  const fields = { name, kind: 'human', purpose: 'tests', source: 'api', labels: { email }, ...more } as const
  return { id: await inTx((tx) => joinIdentity(tx, engine.ctx, fields)), name, email }
}

async function workload(owner: { kind: 'person' | 'team'; id: string }): Promise<{ id: string; name: string; login: string }> {
  const name = `workload-${++serial}`
  const fields = { name, kind: 'workload', purpose: 'tests', environment: 'test', source: 'api', owner } as const
  const id = await inTx((tx) => joinIdentity(tx, engine.ctx, fields))
  const login = `acc_${serial}`
  await target.query(`create role ${login} login password 'value of ${login}'`)
  const current = Secret.fromText(`value of ${login}`)
  await engine.addCredential(system, { name: login, strategy: 'in-place', accounts: [login], current, identity: id })
  return { id, name, login }
}

/** An exception whose review is due, and nobody does it. */
async function missed(credential: string, owner: string, onMissed: 'escalate' | 'suspend', away?: string): Promise<void> {
  const endsAt = new Date(engine.ctx.clock.now().getTime() + 86_400_000)
  const more = { reason: 'the vendor sets it', waitsFor: 'OAuth', endsAt, reviewEverySeconds: 60, onMissed } as const
  const input = { kind: 'vendor_managed', credential, users: [], owner, ...more } as const
  await declareException(engine.parts, engine.ctx, allowed(engine.ctx, 'exception:declare'), namesAnybody(engine.ctx), input)
  await engine.db.store.query("update exception set created_at = now() - interval '2 minutes' where closed_at is null")
  await openReviews(engine.parts, engine.ctx)
  if (away !== undefined) await inTx((tx) => suspendIdentity(tx, engine.ctx, away, 'away'))
  // Two processes look at the same moment.
  const parts = { ...engine.parts, destroyAfterSeconds: 0, stops: [] }
  await Promise.all([missReviews(parts, engine.ctx), missReviews(parts, engine.ctx)])
}

/** What stands in the outbox goes out: by a process that was started after the one that put it there was gone. */
const send = async () => {
  while ((await sendDue(notify(), engine.ctx)) > 0);
}

test('a missed review is told once: to the webhook, and by mail to the owner of the one who should have looked', async () => {
  const boss = await person()
  const keeper = await person({ owner: { kind: 'person', id: boss.id } })
  const held = await workload({ kind: 'person', id: keeper.id })
  await missed(held.login, keeper.id, 'escalate')
  expect([hooks, mails], 'they wait in the outbox, whoever dies').toEqual([[], []])
  await send()
  expect(hooks).toMatchObject([
    { event: 'review_missed', about: { subject: held.login, system: 'orders-db', link: 'https://rekey.example.com/findings' } },
  ])
  expect(hooks[0]?.people.map(({ name }) => name)).toEqual([boss.name])
  expect(mails.map(({ to }) => to)).toEqual([boss.email])
  expect(mails[0]?.text).toContain('Subject: Rekey: a review was missed')
  expect(mails[0]?.text).toContain(held.login)
  const parts = { ...engine.parts, destroyAfterSeconds: 0, stops: [] }
  await missReviews(parts, engine.ctx)
  await send()
  expect([hooks.length, mails.length]).toEqual([1, 1])
})

test('to a team: each of its active people', async () => {
  const team = await inTx((tx) => putTeam(tx, engine.ctx, { name: `team ${newId()}` }))
  const [one, two] = [await person(), await person()]
  await inTx((tx) => addTeamMembers(tx, engine.ctx, team, { identities: [one.id, two.id] }))
  const held = await workload({ kind: 'team', id: team })
  await missed(held.login, one.id, 'escalate')
  await send()
  expect(hooks).toHaveLength(1)
  expect(mails.map(({ to }) => to).sort()).toEqual([one.email, two.email].sort())
})

/** The security contact with just these people. */
const contactIs = (...identities: string[]) =>
  inTx(async (tx) => setTeamMembers(tx, engine.ctx, (await securityContact(tx)).id, { identities, teams: [] }))

const overdue = async (subject: string) => {
  const { items } = await listFindings(engine.db.store, allowed(engine.ctx, 'finding:read'), { kind: 'review_overdue', limit: 500 })
  return items.find((item) => item.subject === subject)
}

test('who owns themselves has nobody above: they are told, and the security contact, if somebody is in it', async () => {
  const [self, holder, guard] = [await person(), await person(), await person()]
  const own = await workload({ kind: 'person', id: self.id })
  await missed(own.login, self.id, 'escalate')
  await send()
  expect(hooks[0]?.people.map(({ name }) => name)).toEqual([self.name])
  expect(mails.map(({ to }) => to)).toEqual([self.email])
  expect(await overdue(own.login)).toMatchObject({ owner: { id: self.id }, detail: 'its review as vendor managed was not done' })
  // The owner of the exception is told of a credential of somebody who owns themselves, too.
  ;[hooks, mails] = [[], []]
  await contactIs(guard.id)
  const held = await workload({ kind: 'person', id: holder.id })
  await missed(held.login, self.id, 'escalate')
  await send()
  expect(hooks[0]?.people.map(({ name }) => name).sort()).toEqual([self.name, holder.name, guard.name].sort())
  await contactIs()
})

test('where no owner is active it is the security contact; where nobody is in it, the finding says that nobody could be told', async () => {
  const gone = await person()
  const held = await workload({ kind: 'person', id: gone.id })
  const other = await workload({ kind: 'person', id: gone.id })
  await missed(held.login, gone.id, 'escalate', gone.id)
  await send()
  expect(hooks).toMatchObject([{ event: 'review_missed', people: [] }])
  expect(await overdue(held.login)).toMatchObject({
    owner: { name: 'security-contact' },
    detail: 'its review as vendor managed was not done, and there is nobody who could be told',
  })
  const guard = await person()
  await contactIs(guard.id)
  await inTx((tx) => resumeIdentity(tx, engine.ctx, gone.id, 'back'))
  await missed(other.login, gone.id, 'escalate', gone.id)
  await send()
  expect(hooks[1]?.people.map(({ name }) => name)).toEqual([guard.name])
  await contactIs()
})

test('nobody did the review, then a restart: the process that comes stops the logins, and tells', async () => {
  const boss = await person()
  const held = await workload({ kind: 'person', id: boss.id })
  // No closer runs: the process that found it missed is gone before it acts.
  await missed(held.login, boss.id, 'suspend')
  const canLogin = async (): Promise<{ can?: boolean } | undefined> =>
    (await target.query(`select rolcanlogin as can from pg_roles where rolname = '${held.login}'`))[0]
  expect(await canLogin()).toMatchObject({ can: true })
  await engine.addCloser()
  await until(async () => (await canLogin())?.can === false)
  await send()
  expect(hooks.filter(({ about }) => about.subject === held.login)).toMatchObject([{ event: 'review_missed' }])
})

test('a credential that Rekey cannot end is told to who answers for its identity', async () => {
  const boss = await person()
  const leaver = await person({ owner: { kind: 'person', id: boss.id } })
  const name = `by-hand-${++serial}`
  // The account with which Rekey drives the system is no one's to end.
  const { account, secret } = target.superuser
  await engine.addCredential(system, { name, strategy: 'in-place', accounts: [account], current: secret, identity: leaver.id })
  await inTx((tx) => offboardIdentity(tx, engine.ctx, leaver.id, 'left'))
  await until(async () => {
    const names = [name, 'root@orders-db']
    const rows = await engine.db.store.query('select 1 from closure_item where credential_name = any($1) and blocked_at is not null', [
      names,
    ])
    return rows.length === 2
  })
  await send()
  const [row] = await engine.db.store.query<{ id: string }>('select closure_id as id from closure_item where credential_name = $1', [name])
  // And the root credential itself, which has that value: it is nobody's, so it goes to the security contact, who has no people here.
  const own = hooks.filter(({ about }) => about?.subject === name)
  expect(hooks.map(({ about }) => about?.subject).sort()).toEqual([name, 'root@orders-db'].sort())
  expect(own).toMatchObject([{ event: 'closure_waits', about: { subject: name, system: 'orders-db', id: row?.id } }])
  expect(own[0]?.people.map((one) => one.name)).toEqual([boss.name])
  expect(mails.map(({ to }) => to)).toEqual([boss.email])
  expect(mails[0]?.text).toContain('Subject: Rekey: a credential waits for you')
})

async function until(holds: () => Promise<boolean>, ms = 20_000): Promise<void> {
  for (const end = engine.ctx.clock.monotonicMs() + ms; !(await holds()); await sleep(30)) {
    if (engine.ctx.clock.monotonicMs() > end) throw new Error('it does not come to that')
  }
}
