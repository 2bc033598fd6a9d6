/** Whatever a request can name: what is not the asker's is answered in the bytes of what is not there. By the table of routes. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { factsOf } from '../policy/index.ts'
import { ROUTES } from './routes/index.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

const W = 'when { resource is Installation || (resource has environment && resource.environment == "seen") };'
const POLICIES = (team: string) => [
  {
    name: 'directory.cedar',
    text: `@id("who") permit(principal in Role::"dir", action in [Action::"identity:*", Action::"closure:plan"], resource) ${W}
      @id("team") permit(principal in Role::"dir", action in [Action::"team:*"], resource)
        when { resource is Installation || resource == Team::"${team}" };
      @id("bind") permit(principal in Role::"dir", action == Action::"role:bind", resource);
      @id("blind") permit(principal in Role::"blind", action == Action::"identity:join", resource);`,
  },
  {
    name: 'credential.cedar',
    text: `@id("cred") permit(principal in Role::"cred", action in [Action::"rotation:*", Action::"exception:*", Action::"review:*",
        Action::"closure:*",
        Action::"usable:read", Action::"finding:*", Action::"consumer:*", Action::"system:*"], resource) ${W}
      @id("reads") permit(principal in Role::"cred", action == Action::"identity:read", resource) ${W}
      @id("none") permit(principal in Role::"none", action in [Action::"rotation:*", Action::"usable:read"], resource)
        ${W.replace('seen', 'nowhere')}`,
  },
  {
    name: 'control.cedar',
    text: `@id("tokens") permit(principal in Role::"ctl", action in [Action::"token:*"], resource) ${W}
      @id("bypass") permit(principal in Role::"byp", action == Action::"approval:bypass", resource)
        when { resource is Installation || (resource has kind && resource.kind == "role:bind") };`,
  },
]

type By = 'dir' | 'cred' | 'none' | 'ctl' | 'joe' | 'byp'
let people: People
const by = {} as Record<By | 'blind', Asker>
/** What is there and hidden, by what the table calls it. */
const hidden: Record<string, string> = {}
/** Ids of what the askers may see. */
const seen: Record<string, string> = {}

async function identities(): Promise<void> {
  const work = { kind: 'workload', purpose: 'tests' }
  hidden.person = 'hidden-ceo'
  hidden.personId = (await people.made('/v1/identities', { name: 'hidden-ceo', kind: 'human' })).id
  hidden.program = 'hidden-vault'
  const vault = await people.made('/v1/identities', { ...work, name: 'hidden-vault', owner: 'hidden-ceo', environment: 'prod' })
  hidden.programId = vault.id
  hidden.gone = 'hidden-gone'
  await people.made('/v1/identities', { ...work, name: 'hidden-gone', owner: 'hidden-ceo', environment: 'prod' })
  await people.made('/v1/identities/hidden-gone/offboard', { reason: 'tests' })
  seen.person = (await people.made('/v1/identities', { name: 'seen', kind: 'human', environment: 'seen' })).id
  seen.program = (await people.made('/v1/identities', { ...work, name: 'seen-app', owner: 'seen', environment: 'seen' })).id
  await people.made('/v1/identities', { ...work, name: 'seen-agent', kind: 'agent', owner: 'seen', environment: 'seen' })
}

async function teams(): Promise<void> {
  hidden.team = 'hidden-team'
  hidden.teamId = await people.team('hidden-team', { id: hidden.personId ?? '' })
  hidden.teamEmpty = 'hidden-empty'
  await people.team('hidden-empty')
  hidden.teamTwice = 'hidden-twice'
  for (let n = 0; n < 2; n++) await people.team('hidden-twice')
  seen.team = await people.team('mine', { id: seen.person ?? '' })
  await people.team('mine')
}

async function credentials(): Promise<void> {
  const { server } = people
  await server.declare(3)
  Object.assign(hidden, { credential: 'app-1', rotating: 'app-0', app: 'app' })
  hidden.system = 'db'
  const { batch, rotations } = await people.made('/v1/rotations', { names: ['app-0'] })
  Object.assign(hidden, { batch, rotation: rotations[0].rotation })
  const exception = { kind: 'static_key', credential: 'app-1', owner: 'hidden-ceo', reason: 'tests', waitsFor: 'tests' }
  hidden.exception = (await people.made('/v1/exceptions', { ...exception, endsAt: new Date(Date.now() + 86_400_000) })).exception
  const [credential] = await server.db.store.query<{ id: string; identity_id: string; system_id: string }>(
    "select id, identity_id, system_id from credential where name = 'app-1'",
  )
  if (credential === undefined) throw new Error('the credential is not there')
  hidden.appId = credential.identity_id
  for (const what of ['closure', 'review', 'seenClosure', 'item', 'version', 'passkey', 'challenge']) hidden[what] = newId()
  const rows = server.db.store
  await rows.query("insert into review (id, credential_id, why, on_missed, due_at) values ($1, $2, 'static_key', 'escalate', now())", [
    hidden.review,
    credential.id,
  ])
  for (const [id, identity] of [
    [hidden.closure, credential.identity_id],
    [hidden.seenClosure, seen.program],
  ]) {
    await rows.query(
      `insert into closure (id, identity_id, identity_name, goal, state, reason, started_by)
       values ($1, $2, 'some', 'destroy', 'closing', 'tests', 'tests')`,
      [id, identity],
    )
  }
  seen.closure = hidden.seenClosure ?? ''
  await rows.query("update credential set identity_id = $1 where name = 'app-2'", [seen.program])
  // What is somebody else's and waits in a closure that the asker may see.
  await rows.query(
    `insert into closure_item (id, closure_id, credential_id, credential_name, system_id, way, why, state, blocked_from, relation)
     values ($1, $2, $3, 'app-1', $4, 'rotate', 'tests', 'handed_over', 'planned', 'consumer')`,
    [hidden.item, seen.closure, credential.id, credential.system_id],
  )
  await rows.query(
    `insert into challenge (id, consumer_id, nonce, expires_at) select $1, c.id, '\\x00', now() + interval '1 hour' from consumer c
      where c.credential_id = $2`,
    [hidden.challenge, credential.id],
  )
  const [version] = await rows.query<{ id: string }>('select id from version where credential_id = $1', [credential.id])
  hidden.version = version?.id ?? ''
}

/** Two entitlements that went: to the account of a hidden credential, and to that of one that is seen. */
async function movers(): Promise<void> {
  for (const accounts of [['app_1', 'app_2'], []]) {
    const entitlements = accounts.map((account) => ({ system: 'db', account, role: 'writer' }))
    await people.made('/v1/identities/seen/move', { entitlements })
  }
  for (const { id, account } of done(await people.server.get('/v1/movers')).items) (account === 'app_1' ? hidden : seen).mover = id
}

async function own(bob: Asker): Promise<void> {
  hidden.token = 'hidden-token'
  hidden.tokenId = (await people.token(people.server, 'hidden-token', ['auditor'], { identity: hidden.programId })).id
  hidden.bob = bob.id
  hidden.session = done(await bob.get('/v1/session')).session
  await people.server.db.store.query(
    `insert into passkey (id, identity_id, credential_id, public_key, counter, transports, aaguid, attestation, device_bound, backed_up,
                          rp_id, name) values ($1, $2, 'none', '\\x00', 0, '{}', 'x', 'none', true, false, 'localhost', 'k')`,
    [hidden.passkey, bob.id],
  )
  const crew = await people.team('crew', bob)
  await people.made('/v1/approval-rules', { action: 'identity:offboard', factors: [{ team: crew, count: 1 }], reason: 'tests' })
  hidden.approval = (await people.server.post('/v1/identities/hidden-vault/offboard', { reason: 'tests' })).body.approval
}

beforeAll(async () => {
  people = await People.start()
  const bob = await people.person('bob', 'bootstrap-admin')
  await identities()
  await teams()
  await credentials()
  await movers()
  const { id, digest } = await people.made('/v1/policies', { files: POLICIES(seen.team ?? ''), reason: 'testing' })
  done(await bob.post(`/v1/policies/${id}/bypass`, { reason: 'nobody is here to approve', digest }))
  for (const role of ['dir', 'cred', 'none', 'ctl', 'blind'] as const) by[role] = await people.token(people.server, `${role}-token`, [role])
  by.joe = await people.person('joe')
  by.byp = await people.person('byp', 'byp')
  await own(bob)
}, 120_000)
afterAll(() => people.stop())
afterEach(() => expect(people.server.undeclared()).toEqual([]))

interface Case {
  /** Method and path of a route, and which of its inputs names something. */
  readonly route: string
  readonly key: string
  readonly by: By
  /** Keys of `hidden`. */
  readonly of: readonly string[]
  readonly body?: (name: string) => object
  /** What stands for other parameters of the path. */
  readonly path?: () => Record<string, string>
  /** What both are answered, where that is not 404. */
  readonly refusal?: number
}

const reason = { reason: 'tests' }
const at = (route: string, key: string, asker: By, of: readonly string[], body?: object): Case => ({
  route,
  key,
  by: asker,
  of,
  ...(body && { body: () => body }),
})
const PERSONS = ['person', 'personId', 'program', 'programId', 'gone']
const OWNERS = ['person', 'personId', 'program', 'team', 'teamId', 'teamEmpty', 'teamTwice']
const TEAMS = ['team', 'teamId', 'teamTwice']
const joiner = () => ({ name: `k-${newId()}`, kind: 'workload', purpose: 'tests', environment: 'seen' })
const digest = 'a'.repeat(64)
const declared = () => ({
  kind: 'shared_account',
  credential: 'app-1',
  users: ['seen'],
  owner: 'seen',
  reason: 'tests',
  waitsFor: 'tests',
  endsAt: new Date(Date.now() + 86_400_000),
})

const CASES: readonly Case[] = [
  ...['approve', 'reject', 'take-back', 'withdraw'].map((verb) =>
    at(
      `POST /v1/approvals/:id/${verb}`,
      ':id',
      'joe',
      ['approval'],
      verb === 'approve' || verb === 'reject' ? { ...reason, digest } : reason,
    ),
  ),
  at('POST /v1/approvals/:id/bypass', ':id', 'byp', ['approval'], { reason: 'nobody is here to approve', digest }),
  at('GET /v1/approvals/:id', ':id', 'joe', ['approval']),
  at('GET /v1/batches/:id/events', ':id', 'cred', ['batch']),
  { ...at('POST /v1/challenges/:id/answer', ':id', 'cred', ['challenge'], { proof: 'AAAA' }), refusal: 422 },
  {
    ...at('POST /v1/credentials/:name/consumers/:consumer/challenges', ':name', 'cred', ['credential'], {}),
    path: () => ({ consumer: 'app' }),
  },
  at('POST /v1/credentials/:name/end', ':name', 'cred', ['credential'], reason),
  at('GET /v1/identities/:identity/events', ':identity', 'dir', PERSONS),
  at('GET /v1/identities/:identity', ':identity', 'dir', PERSONS),
  at('GET /v1/identities/:identity/same-person', ':identity', 'dir', PERSONS),
  at('GET /v1/identities/:identity/closure-plan', ':identity', 'dir', [...PERSONS, 'app', 'appId']),
  at('POST /v1/identities/:identity/move', ':identity', 'dir', PERSONS, { purpose: 'other' }),
  ...['offboard', 'resume', 'suspend'].map((verb) => at(`POST /v1/identities/:identity/${verb}`, ':identity', 'dir', PERSONS, reason)),
  at('POST /v1/identities/:identity/same-person', ':identity', 'dir', PERSONS, { other: 'seen', same: true, reason: 'tests' }),
  {
    ...at('POST /v1/identities/:identity/same-person', 'other', 'dir', PERSONS),
    path: () => ({ identity: 'seen' }),
    body: (other) => ({ other, same: true, reason: 'tests' }),
  },
  ...(['', 'person:', 'team:'] as const).flatMap((kind): Case[] => [
    { ...at('POST /v1/identities', 'owner', 'dir', OWNERS), body: (name) => ({ ...joiner(), owner: kind + name }) },
    {
      ...at('POST /v1/identities/:identity/move', 'owner', 'dir', OWNERS),
      path: () => ({ identity: 'seen-app' }),
      body: (name) => ({ owner: kind + name }),
    },
  ]),
  { ...at('POST /v1/identities', 'manager', 'dir', PERSONS), body: (manager) => ({ ...joiner(), kind: 'human', manager }) },
  {
    ...at('POST /v1/identities/:identity/move', 'manager', 'dir', PERSONS),
    path: () => ({ identity: 'seen' }),
    body: (manager) => ({ manager }),
  },
  at('GET /v1/identities', '?owner', 'dir', OWNERS),
  at('GET /v1/identities', '?team', 'dir', ['teamEmpty', 'team', 'teamId']),
  at('GET /v1/closures', '?identity', 'cred', ['appId']),
  at('GET /v1/closures/:id', ':id', 'cred', ['closure']),
  at('GET /v1/closures/:id/credentials', ':id', 'cred', ['closure']),
  at('POST /v1/closures/:id/resolve', ':id', 'cred', ['closure'], { ...reason, credential: 'app-1', kind: 'irrevocable' }),
  at('POST /v1/closures/:id/retry', ':id', 'cred', ['closure'], {}),
  ...['irrevocable', 'leaked'].map((kind) => ({
    ...at('POST /v1/closures/:id/resolve', 'credential', 'cred', ['credential']),
    path: () => ({ id: seen.closure ?? '' }),
    body: (credential: string) => ({ ...reason, credential, kind }),
    refusal: 409,
  })),
  {
    ...at('POST /v1/closures/:id/retry', 'credential', 'cred', ['credential']),
    path: () => ({ id: seen.closure ?? '' }),
    body: (credential) => ({ credential }),
    refusal: 409,
  },
  at('GET /v1/usable', '?identity', 'cred', [...PERSONS, 'app', 'appId']),
  at('GET /v1/usable', '?system', 'none', ['system']),
  { ...at('POST /v1/usable/probe', 'versions', 'cred', ['version']), body: (id) => ({ versions: [id] }) },
  { ...at('POST /v1/exceptions', 'credential', 'cred', ['credential']), body: (credential) => ({ ...declared(), credential }) },
  { ...at('POST /v1/exceptions', 'owner', 'cred', OWNERS), body: (owner) => ({ ...declared(), credential: 'app-2', owner }) },
  {
    ...at('POST /v1/exceptions', 'users', 'cred', PERSONS),
    body: (user) => ({ ...declared(), credential: 'app-2', users: ['seen', user] }),
  },
  at('POST /v1/exceptions/:id/close', ':id', 'cred', ['exception'], reason),
  at('POST /v1/reviews/:id/done', ':id', 'cred', ['review'], { outcome: 'keep', note: 'tests' }),
  at('GET /v1/rotations', '?batch', 'cred', ['batch']),
  at('GET /v1/rotations', '?credential', 'cred', ['rotating']),
  at('GET /v1/rotations/:id', ':id', 'cred', ['rotation']),
  at('POST /v1/rotations/:id/resolve', ':id', 'cred', ['rotation'], { kind: 'irrevocable', by: 'me', reason: 'tests' }),
  at('POST /v1/rotations/:id/retry', ':id', 'cred', ['rotation']),
  at('POST /v1/rotations/:id/undo', ':id', 'cred', ['rotation'], reason),
  { ...at('POST /v1/rotations', 'names', 'cred', ['credential']), body: (name) => ({ names: [name] }) },
  { ...at('POST /v1/rotations', 'system', 'none', ['system']), body: (system) => ({ system }) },
  at('GET /v1/systems/:name/accounts', ':name', 'cred', ['system']),
  at('POST /v1/systems/:name/rotate-root', ':name', 'cred', ['system'], reason),
  at('POST /v1/systems/:name/root', ':name', 'cred', ['system'], { secret: 'AAAA' }),
  at('POST /v1/systems/:name/server', ':name', 'cred', ['system'], reason),
  at('POST /v1/systems/:name/decommission', ':name', 'cred', ['system'], reason),
  at('POST /v1/movers/:mover/settle', ':mover', 'cred', ['mover'], reason),
  at('GET /v1/teams/:team', ':team', 'dir', TEAMS),
  at('POST /v1/teams/:team/members', ':team', 'dir', TEAMS, { add: {} }),
  at('POST /v1/teams/:team/rename', ':team', 'dir', TEAMS, { name: 'other' }),
  at('POST /v1/teams/:team/remove', ':team', 'dir', TEAMS, reason),
  at('GET /v1/teams', '?name', 'dir', ['team', 'teamTwice']),
  ...(['identities', 'teams'] as const).map((list) => ({
    ...at('POST /v1/teams/:team/members', 'add', 'dir', list === 'teams' ? ['teamId'] : ['personId', 'programId']),
    path: () => ({ team: seen.team ?? '' }),
    body: (id: string) => ({ add: { [list]: [id] }, ...reason }),
  })),
  ...(['identities', 'teams'] as const).map((list) => ({
    ...at('POST /v1/teams/:team/members', 'remove', 'dir', list === 'teams' ? ['teamId'] : ['personId', 'programId']),
    path: () => ({ team: seen.team ?? '' }),
    body: (id: string) => ({ remove: { [list]: [id] }, ...reason }),
  })),
  at('POST /v1/sessions/:id/end', ':id', 'joe', ['session']),
  at('GET /v1/sessions', '?identity', 'joe', ['bob']),
  at('GET /v1/passkeys', '?identity', 'joe', ['bob']),
  at('POST /v1/passkeys/:id/remove', ':id', 'joe', ['passkey'], reason),
  {
    ...at('POST /v1/tokens', 'identity', 'ctl', PERSONS),
    body: (identity) => ({ name: 'some', roles: ['ctl'], identity, environments: ['seen'], ...reason }),
  },
  {
    ...at('POST /v1/tokens', 'actsFor', 'ctl', PERSONS),
    body: (actsFor) => ({
      name: 'some',
      roles: ['ctl'],
      identity: 'seen-agent',
      actsFor,
      scope: ['token:list'],
      environments: ['seen'],
      ...reason,
    }),
  },
  at('GET /v1/tokens', '?identity', 'ctl', ['programId']),
  ...['revoke', 'rotate'].map((verb) =>
    at(`POST /v1/tokens/:token/${verb}`, ':token', 'ctl', ['token', 'tokenId'], verb === 'revoke' ? reason : {}),
  ),
]

/** Inputs that name nothing that is there, by key; what they are. */
const PLAIN: Readonly<Record<string, string>> = {
  '?after ?limit ?ended ?all ?open ?waiting ?of ?log': 'which page, and which kinds of rows',
  '?kind ?status ?state ?environment ?tenancy ?source ?label ?prefix ?severity ?olderThanDays':
    'filters over rows that are seen: a filter that nothing fits shows nothing',
  'name kind purpose environment tenancy labels entitlements recoveryClass ial': 'what is to be, written as it will be read',
  'reason note force by outcome same urgent apart unprovable all secret waitsFor endsAt reviewEverySeconds onMissed':
    'words, values and switches',
  'digest proof challenge response': 'secrets, or digests of what was seen',
  'scope environments expiresSeconds overlapSeconds roles': 'limits and roles, which everybody knows',
  act: 'names what is to be confirmed, and is compared only when it is done',
  ':consumer': 'of a credential, which is tried with it',
}

describe('every input that can name something', () => {
  const plain = new Set(Object.keys(PLAIN).flatMap((keys) => keys.split(' ')))
  const inputs = ROUTES.filter(({ action }) => action !== null && factsOf(action).on.length > 0).flatMap((route) =>
    [...keysOf(route.params, ':'), ...keysOf(route.query, '?'), ...keysOf(route.body, '')].map(
      (key) => `${route.method} ${route.path} ${key}`,
    ),
  )
  test('is in the table, and the table names nothing else', () => {
    const tabled = new Set(CASES.map(({ route, key }) => `${route} ${key}`))
    expect(inputs.filter((input) => !tabled.has(input) && !plain.has(input.split(' ').at(-1) ?? ''))).toEqual([])
    expect([...tabled].filter((input) => !inputs.includes(input))).toEqual([])
  })
})

interface Shaped {
  readonly shape?: object
  readonly def?: { readonly innerType?: Shaped }
}

/** The keys of a schema of an object, also of an optional one. */
function keysOf(schema: unknown, mark: string): string[] {
  const { shape, def } = (schema ?? {}) as Shaped
  if (shape !== undefined) return Object.keys(shape).map((key) => mark + key)
  return def?.innerType === undefined ? [] : keysOf(def.innerType, mark)
}

/** A name of the same form that nothing has. */
function absent(name: string): string {
  if (/^\d+$/.test(name)) return String(Number(name) + 100_000)
  return /^[0-9a-f]{8}-/.test(name) ? newId() : name.replace(/.$/, '~').replaceAll('~', name.endsWith('x') ? 'y' : 'x')
}

test.each(CASES)('$route by $key', async ({ route, key, by: asker, of, body, path, refusal = 404 }) => {
  const [method = '', template = ''] = route.split(' ')
  const told = async (name: string) => {
    const values: Record<string, string> = { ...path?.(), ...(key.startsWith(':') && { [key.slice(1)]: name }) }
    const filled = template.replaceAll(/:(\w+)/g, (_, param: string) => encodeURIComponent(values[param] ?? ''))
    const query = key.startsWith('?') ? `?${key.slice(1)}=${encodeURIComponent(name)}` : ''
    const { status, text } = method === 'GET' ? await by[asker].get(filled + query) : await by[asker].post(filled, body?.(name))
    expect([200, refusal], text).toContain(status)
    return [status, text.replaceAll(name, 'NAME')]
  }
  for (const what of of) {
    const name = hidden[what] ?? ''
    expect(name, what).not.toBe('')
    expect(await told(name), what).toEqual(await told(absent(name)))
  }
})

test('who may join names whom they may read, as owner and as manager', async () => {
  const join = async (more: object) => (await by.dir.post('/v1/identities', { ...joiner(), ...more })).status
  expect(await join({ owner: 'seen' })).toBe(201)
  expect(await join({ owner: `person:${seen.person}` })).toBe(201)
  expect(await join({ owner: 'mine' }), 'another of this name is hidden').toBe(201)
  expect(await join({ owner: `team:${seen.team}` })).toBe(201)
  expect(await join({ kind: 'human', manager: 'seen' })).toBe(201)
  expect((await by.dir.post('/v1/identities/seen-app/move', { owner: 'seen' })).status).toBe(200)
})

test('who may join and reads nobody names themselves and their own teams', async () => {
  const blind = await people.person('ben', 'blind')
  const crew = await people.team('bens', blind)
  const join = async (owner: string) => (await blind.post('/v1/identities', { ...joiner(), owner })).status
  expect([await join('ben'), await join('team:bens'), await join(crew)]).toEqual([201, 201, 201])
  expect([await join('seen'), await join('mine'), await join(`team:${seen.team}`)]).toEqual([404, 404, 404])
  expect((await blind.post('/v1/identities', { ...joiner(), kind: 'human', manager: blind.id })).status).toBe(201)
  expect((await by.blind.post('/v1/identities', { ...joiner(), owner: 'seen' })).status).toBe(404)
})

test('a team of one’s own is found by a name that hidden ones have, and takes in whom one may read', async () => {
  expect(done(await by.dir.get('/v1/teams/mine')).id).toBe(seen.team)
  done(await by.dir.post('/v1/teams/mine/members', { add: { identities: [seen.program] }, ...reason }))
  await people.made(`/v1/teams/${seen.team}/members`, { add: { identities: [hidden.programId] } })
  const before = done(await by.dir.get('/v1/teams/mine')).revision
  done(await by.dir.post('/v1/teams/mine/members', { remove: { identities: [hidden.programId] }, ...reason }))
  expect(done(await by.dir.get('/v1/teams/mine')).revision, 'who keeps a team can take anybody out').toBeGreaterThan(before)
})

test('who makes tokens where they may names whom is there, without reading the record', async () => {
  const token = (more: object) =>
    by.ctl.post('/v1/tokens', { name: newId().slice(9), roles: ['ctl'], environments: ['seen'], ...reason, ...more })
  expect((await token({ name: 'of-seen-app', identity: 'seen-app' })).status).toBe(201)
})

test('what a mover left behind is settled by who may touch the credential that it is about', async () => {
  done(await by.cred.post(`/v1/movers/${seen.mover}/settle`, reason))
  expect(done(await people.server.get('/v1/movers')).items.map(({ id }: { id: string }) => id)).toEqual([hidden.mover])
})

test('an exception names whom its maker may read', async () => {
  const status = async (more: object) => (await by.cred.post('/v1/exceptions', { ...declared(), credential: 'app-2', ...more })).status
  expect(await status({ users: ['seen', 'hidden-ceo'] })).toBe(404)
  expect(await status({})).toBe(201)
})

test('of a system of which some credentials are the asker’s, the rest refuses the whole', async () => {
  const { status, text } = await by.cred.post('/v1/rotations', { system: 'db' })
  expect(status, text).toBe(403)
  expect(text).not.toContain('app-')
})

test('that a name is taken is told in the asker’s own spelling', async () => {
  const { status, text } = await by.dir.post('/v1/identities', { name: 'Hidden-CEO', kind: 'human', environment: 'seen' })
  expect(status).toBe(409)
  expect(text).toContain('Hidden-CEO')
  expect(text).not.toContain('hidden-ceo')
})
