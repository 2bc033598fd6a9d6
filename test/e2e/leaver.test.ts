/** Who is suspended is stopped at once, with every kind of proof, on every server: two real processes on one database. */
import { readFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId, sleep, systemClock } from '../../src/kernel/index.ts'
import { LabIssuer } from '../lab/issuer.ts'
import { type LabPostgres, startPostgres } from '../lab/postgres.ts'
import { Site } from './kit.ts'

const AUDIENCE = 'https://rekey.example'

let target: LabPostgres
let lab: LabIssuer
let site: Site
let database: pg.Client
let urls: readonly string[]
let admin: string

beforeAll(async () => {
  ;[target, lab] = await Promise.all([startPostgres({ fsync: false }), LabIssuer.start()])
  await target.query('create database rekey')
  const password = target.superuser.secret.revealText((text) => encodeURIComponent(text))
  const url = `postgres://${target.superuser.account}:${password}@127.0.0.1:${target.port}/rekey`
  site = new Site()
  const first = await site.serve({ DATABASE_URL: url, REKEY_LOG: 'warn' })
  const second = await site.serve({ DATABASE_URL: url, REKEY_LOG: 'warn' })
  urls = [first, second].map((served) => served.url ?? `not ready: ${served.errors()}`)
  admin = readFileSync(`${site.data}/admin.token`, 'utf8').trim()
  database = new pg.Client(url)
  await database.connect()
}, 60_000)
afterAll(async () => {
  await database.end()
  await site.stop()
  await Promise.all([target.stop(), lab.stop()])
})

interface Answer {
  readonly status: number
  readonly body: ReturnType<typeof JSON.parse>
}

async function send(server: 0 | 1, method: string, path: string, headers: Record<string, string>, body?: unknown): Promise<Answer> {
  const answer = await fetch(`${urls[server]}${path}`, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  return { status: answer.status, body: text.startsWith('{') ? JSON.parse(text) : text }
}

/** By the administrator, at the first server; throws unless it was done. */
async function order(path: string, body: unknown): Promise<Answer['body']> {
  const { status, body: answer } = await send(0, 'POST', path, { authorization: `Bearer ${admin}` }, body)
  if (status >= 300) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`)
  return answer
}

const join = (name: string, kind: string, more: object = {}) => order('/v1/identities', { name, kind, purpose: 'tests', ...more })
const act = (name: string, verb: string) => order(`/v1/identities/${name}/${verb}`, { reason: 'tests' })

/** A session of a person, as a login writes it. */
async function session(identity: string): Promise<string> {
  const text = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')
  await database.query(
    `insert into session (id, hash, identity_id, aal, authenticated_at, method, browser, ends_at, idle_seconds)
     values ($1, sha256(convert_to($2, 'UTF8')), $3, 3, now(), 'oidc', '', now() + interval '1 hour', 3600)`,
    [newId(), text, identity],
  )
  return `rekey-session=${text}`
}

async function signed(claims: Record<string, unknown>): Promise<Record<string, string>> {
  const at = Math.floor(systemClock.now().getTime() / 1000)
  return { authorization: `Bearer ${await lab.sign({ iss: lab.url, aud: AUDIENCE, iat: at, exp: at + 300, ...claims })}` }
}

async function token(name: string, identity: string, more: object = {}): Promise<Record<string, string>> {
  const made = await order('/v1/tokens', { name, identity, roles: ['operator'], reason: 'tests', ...more })
  return { authorization: `Bearer ${made.token}` }
}

/** The status that each proof gets at each server: 200 where it is somebody who may, 401 where it is nobody. */
async function standing(proofs: Readonly<Record<string, Record<string, string>>>): Promise<Record<string, readonly number[]>> {
  const asked = Object.entries(proofs).map(async ([name, headers]) => {
    const answers = await Promise.all(([0, 1] as const).map((server) => send(server, 'GET', '/v1/rotations', headers)))
    return [name, answers.map(({ status }) => status)] as const
  })
  return Object.fromEntries(await Promise.all(asked))
}

const all = (status: number, ...names: readonly string[]) => Object.fromEntries(names.map((name) => [name, [status, status]]))

test('sessions, tokens, workloads and agents of who is suspended are nobody from the next request on, at every server', async () => {
  const ada = (await join('ada', 'human')).id
  const owned = { owner: 'person:ada', environment: 'test' }
  const [bot, shop] = [(await join('bot', 'agent', owned)).id, (await join('shop', 'workload', owned)).id]
  for (const subject of ['ada', 'bot', 'shop'])
    await order('/v1/role-bindings', { role: 'operator', kind: 'identity', subject, reason: 'tests' })
  await order('/v1/issuers', { name: 'ci', type: 'oidc', origin: lab.url, audience: AUDIENCE, keys: { from: 'discovery' }, replay: 'age' })
  const rule = (identity: string, part: string, sub: string, more: object = {}) =>
    order('/v1/issuers/ci/rules', { identity, part, claims: { sub }, ...more })
  await rule('ada', 'subject', 'ada@acme')
  await rule('shop', 'subject', 'shop')
  await rule('bot', 'actor', 'bot-7', { scope: ['rotation:read'], environments: ['test'] })
  const proofs = {
    session: { cookie: await session(ada) },
    token: await token('of-ada', 'ada'),
    tokenOfAgent: await token('of-bot', 'bot', { actsFor: 'ada', scope: ['rotation:read'], environments: ['test'] }),
    agentForAda: await signed({ sub: 'ada@acme', act: { sub: 'bot-7' } }),
    workload: await signed({ sub: 'shop' }),
    tokenOfWorkload: await token('of-shop', 'shop'),
  }
  const [hers, shops] = [['session', 'token', 'tokenOfAgent', 'agentForAda'] as const, ['workload', 'tokenOfWorkload'] as const]
  expect(await standing(proofs)).toEqual(all(200, ...hers, ...shops))

  await act('ada', 'suspend')
  expect(await standing(proofs)).toEqual({ ...all(401, ...hers), ...all(200, ...shops) })
  await act('shop', 'suspend')
  expect(await standing(proofs)).toEqual(all(401, ...hers, ...shops))

  // What comes back is what was suspended; a session that was ended stays ended.
  for (const name of ['ada', 'shop']) await act(name, 'resume')
  expect(await standing(proofs)).toEqual({ ...all(200, 'token', 'tokenOfAgent', 'agentForAda', ...shops), ...all(401, 'session') })

  // The agent itself.
  await act('bot', 'suspend')
  expect(await standing(proofs)).toMatchObject({ ...all(401, 'tokenOfAgent', 'agentForAda'), ...all(200, 'token', 'workload') })
  expect(bot).not.toBe(shop)
  await act('bot', 'resume')

  // An offboarding ends them for good.
  for (const name of ['ada', 'shop']) await act(name, 'offboard')
  expect(await standing(proofs)).toEqual(all(401, ...hers, ...shops))
})

test('a stream that was open is told nothing more', async () => {
  await join('bob', 'human')
  await order('/v1/role-bindings', { role: 'operator', kind: 'identity', subject: 'bob', reason: 'tests' })
  const headers = await token('of-bob', 'bob')
  // A system that never answers: its rotations stay under way for long.
  for (const name of ['root.secret', 'a.secret']) site.write(name, `${newId()}\n`)
  const credentials = ['one', 'two'].map(
    (name) => `  - { name: ${name}, identity: app, system: away, account: ${name}, strategy: in-place, current: { file: ./a.secret } }`,
  )
  site.write(
    'fleet.yaml',
    `version: 1
systems:
  - name: away
    connector: postgres
    address: { host: 127.0.0.1, port: 1, tls: off }
    root: { account: r, secret: { file: ./root.secret } }
identities:
  - { name: app, kind: workload, owner: team-app, purpose: tests, environment: test }
credentials:
${credentials.join('\n')}
`,
  )
  expect((await site.rekey(urls[0] ?? '', 'apply', '-f', 'fleet.yaml', '--yes')).stderr).not.toMatch(/hint:/)
  const { batch, rotations } = await order('/v1/rotations', { names: ['one', 'two'] })
  const stream = await fetch(`${urls[1]}/v1/batches/${batch}/events`, { headers })
  const reader = stream.body?.getReader()
  const read = async () => Buffer.from((await reader?.read())?.value ?? []).toString()
  let told = ''
  while (!told.includes('event: progress')) told += await read()
  await act('bob', 'suspend')
  // What was shown is looked at again after a second.
  await sleep(1_100)
  // Something to tell: both end at the first server.
  for (const { rotation } of rotations) {
    await order(`/v1/rotations/${rotation}/undo`, { reason: 'tests' })
  }
  let after = ''
  for (let text = await read(); text !== ''; text = await read()) after += text
  expect(after).not.toMatch(/"undone"|"undoing"|event: done/)
}, 60_000)
