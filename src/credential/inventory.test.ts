import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { idsByName, offboardIdentity, resumeIdentity, suspendIdentity } from '../identity/index.ts'
import { isCode, LIMITS, makeCtx, type RekeyError, Secret } from '../kernel/index.ts'
import { fileKeks, Keyring, rotateKek } from '../keys/index.ts'
import { allowed, permitted } from '../policy/testing.ts'
import { open } from '../seal/index.ts'
import { FLEET_DEFAULTS, type Fleet } from './fleet.model.ts'
import { type Applied, type ApplyInput, applyInventory, diffInventory } from './inventory.actions.ts'
import { countInventory, findCredential, listConsumers, listCredentials, listSystems, listVersions } from './inventory.list.ts'
import { loadPresent } from './inventory.plan.ts'
import { rewrapCredentials } from './rewrap.ts'
import { dataKeyBound, versionBound } from './targets.ts'
import { Engine } from './testing.ts'

const ctx = makeCtx('test', 'inventory')
const mayRead = allowed(ctx, 'inventory:read')
const mayApply = allowed(ctx, 'inventory:apply')
const folder = '/srv/fleet'

let engine: Engine
beforeEach(async () => {
  engine = await Engine.start({ worker: false })
})
afterEach(() => engine.stop())

/** JSON is YAML: a fleet as text. */
interface Draft {
  systems?: object[]
  identities?: object[]
  credentials?: object[]
}
const text = (draft: Draft) => JSON.stringify({ version: 1, ...draft })

const system = (more: object = {}) => ({
  name: 'db',
  connector: 'postgres',
  address: { host: '127.0.0.1', tls: 'off' },
  root: { account: 'rekey_root', secret: { file: './root.secret' } },
  ...more,
})
const identity = (more: object = {}) => ({ name: 'api', kind: 'workload', owner: 'team', purpose: 'serves', environment: 'prod', ...more })
const credential = (more: object = {}) => ({
  name: 'api@db',
  identity: 'api',
  system: 'db',
  account: 'api',
  strategy: 'in-place',
  current: { file: 'api.secret' },
  rotate: { every: '30d' },
  consumers: [{ name: 'one', file: { path: './one.env', key: 'PASSWORD' }, activation: 'session' }],
  ...more,
})
const draft = (more: Draft = {}): Draft => ({ systems: [system()], identities: [identity()], credentials: [credential()], ...more })

const diff = (wanted: Draft) => diffInventory(engine.parts, ctx, mayRead, { text: text(wanted), folder })

/** Applies with a value `value of <what>` for every secret that is asked for. */
async function apply(wanted: Draft, more: Partial<ApplyInput> = {}): Promise<Applied> {
  const { digest, needed } = await diff(wanted)
  const secrets = new Map(needed.map((one) => [one.for, Secret.fromText(`value of ${one.for}`)]))
  return applyInventory(engine.parts, ctx, mayApply, permitted(ctx), {
    text: text(wanted),
    folder,
    digest,
    prune: false,
    secrets,
    authorities: new Map(),
    ...more,
  })
}

async function refusal(doing: Promise<unknown>): Promise<RekeyError> {
  return doing.then(
    () => expect.unreachable('it was not refused'),
    (error: RekeyError) => error,
  )
}

const everything = () =>
  engine.db.store.query(
    `select (select jsonb_agg(to_jsonb(t) order by t.id) from system t) as systems,
            (select jsonb_agg(to_jsonb(t) order by t.id) from credential t) as credentials,
            (select jsonb_agg(to_jsonb(t) order by t.id) from version t) as versions,
            (select jsonb_agg(to_jsonb(t) order by t.id) from consumer t) as consumers,
            (select jsonb_agg(to_jsonb(t) order by t.id) from identity t) as identities, (select count(*) from evidence_event) as events`,
  )
const events = async () =>
  (
    await engine.db.store.query<{ line: string }>(`select body::jsonb ->> 'type' || ' ' || subject as line from evidence_event order by id`)
  ).map(({ line }) => line)

test('a new fleet is stored whole, with its values sealed', async () => {
  const { summary, needed } = await diff(draft())
  expect(summary).toEqual({ add: 4, change: 0, missing: 0, refused: 0 })
  expect(needed).toEqual([
    { for: 'system:db', source: { file: '/srv/fleet/root.secret' } },
    { for: 'credential:api@db', source: { file: '/srv/fleet/api.secret' } },
  ])
  expect((await apply(draft())).applied).toEqual({ add: 4, change: 0, removed: 0 })
  const view = await findCredential(engine.db.store, 'api@db')
  expect(view).toMatchObject({
    system: 'db',
    identity: 'api',
    owner: 'team',
    currentVersion: 1,
    currentKnown: true,
    alive: 1,
    rotation: null,
  })
  expect(new Date(view?.nextRotationAt ?? 0).getTime()).toBeGreaterThan(ctx.clock.now().getTime() + 29 * 86_400_000)
  expect(await findCredential(engine.db.store, 'root@db')).toMatchObject({
    root: true,
    identity: null,
    accounts: ['rekey_root'],
    strategy: 'in-place',
  })
  expect(await listConsumers(engine.db.store, view?.id ?? '')).toEqual([
    { name: 'one', file: { path: '/srv/fleet/one.env', key: 'PASSWORD' }, activation: 'session', identity: null, identityBy: null },
  ])
  expect(await listSystems(engine.db.store)).toMatchObject([
    { name: 'db', credentials: 1, rootAccount: 'rekey_root', address: { port: 5432, ca: false } },
  ])
  expect(await countInventory(engine.db.store)).toEqual({
    systems: 1,
    identities: 1,
    credentials: 1,
    liveRotations: 0,
    blocked: 0,
    decommissioned: 0,
    notProvable: 0,
  })
  expect(await storedValue('api@db')).toBe('value of credential:api@db')
  expect(await storedValue('root@db')).toBe('value of system:db')
  expect(await events()).toEqual([
    'identity.added api',
    'system.added db',
    'credential.added api@db',
    'credential.added root@db',
    'version.declared root@db',
    'version.declared api@db',
    'fleet.applied fleet',
  ])
  expect(JSON.stringify(await everything())).not.toContain(Buffer.from('value of').toString('hex'))
  expect(JSON.stringify(await everything())).not.toContain('value of')
})

async function storedValue(name: string): Promise<string | null> {
  const [row] = await engine.db.store.query<{
    id: string
    version: string
    kek_id: string
    wrapped_key: Uint8Array
    sealed: Uint8Array | null
  }>(
    `select c.id, v.id as version, c.kek_id, c.wrapped_key, v.sealed
       from credential c join version v on v.credential_id = c.id and v.state = 'current' where c.name = $1`,
    [name],
  )
  if (!row?.sealed) return null
  const key = await engine.parts.keyring.unwrap(engine.db.store, row.kek_id, row.wrapped_key, dataKeyBound(row.id))
  return open(key, row.sealed, versionBound(row.id, row.version)).revealText((value) => value)
}

test('applying twice writes nothing the second time', async () => {
  await apply(draft())
  const before = await everything()
  const again = await diff(draft())
  expect(again).toMatchObject({ changes: [], needed: [] })
  expect((await apply(draft())).applied).toEqual({ add: 0, change: 0, removed: 0 })
  expect(await everything()).toEqual(before)
})

test('without a value in use the credential waits for a takeover', async () => {
  await apply(draft({ credentials: [credential({ current: undefined })] }))
  const view = await findCredential(engine.db.store, 'api@db')
  expect(view).toMatchObject({ currentVersion: 1, currentKnown: false, alive: 1 })
  expect(await listVersions(engine.db.store, view?.id ?? '')).toMatchObject([
    { number: 1, state: 'current', valueHeld: false, account: 'api', installedAt: null },
  ])
})

test('changes are written, and a schedule counts from its change only', async () => {
  await apply(draft())
  const first = await findCredential(engine.db.store, 'api@db')
  const changed = draft({
    systems: [system({ address: { host: 'db.example.net', port: 5433, tls: 'require' }, limits: { concurrent: 2 } })],
    identities: [identity({ owner: 'other' })],
    credentials: [
      credential({
        rotate: { every: '30d', grace: '10m' },
        consumers: [
          { name: 'one', activation: 'none' },
          { name: 'two', activation: 'session' },
        ],
      }),
    ],
  })
  expect((await apply(changed)).applied).toEqual({ add: 1, change: 4, removed: 0 })
  expect((await diff(changed)).changes).toEqual([])
  const second = await findCredential(engine.db.store, 'api@db')
  expect(second).toMatchObject({ graceSeconds: 600, owner: 'other', nextRotationAt: first?.nextRotationAt })
  expect(await listSystems(engine.db.store)).toMatchObject([
    { concurrent: 2, address: { host: 'db.example.net', port: 5433, tls: 'require' } },
  ])
  await apply({ ...changed, credentials: [credential({ rotate: { every: '1d', grace: '10m' } })] })
  const third = await findCredential(engine.db.store, 'api@db')
  expect(third?.nextRotationAt).not.toBe(first?.nextRotationAt)
  await apply({ ...changed, credentials: [credential({ rotate: {} })] })
  expect(await findCredential(engine.db.store, 'api@db')).toMatchObject({ everySeconds: null, nextRotationAt: null, graceSeconds: 0 })
  expect((await events()).filter((line) => line === 'identity.changed api' || line === 'system.changed db')).toHaveLength(2)
})

test('another root account asks for its secret and keeps the old version on record', async () => {
  await apply(draft())
  const moved = draft({ systems: [system({ root: { account: 'new_root', secret: { env: 'X' } } })] })
  expect((await diff(moved)).needed).toEqual([{ for: 'system:db', source: { env: 'X' } }])
  await apply(moved)
  const root = await findCredential(engine.db.store, 'root@db')
  expect(root).toMatchObject({ accounts: ['new_root'], currentVersion: 2, alive: 2 })
  expect(await listVersions(engine.db.store, root?.id ?? '')).toMatchObject([
    { number: 2, state: 'current', account: 'new_root' },
    { number: 1, state: 'irrevocable', account: 'rekey_root' },
  ])
  expect((await diff(moved)).changes).toEqual([])
})

test('an account of one server belongs to one credential or one root, whatever the systems are called', async () => {
  const other = (host: string, account: string, more: object = {}) =>
    system({ name: 'other', address: { host, database: 'other', tls: 'off', ...more }, root: { account, secret: { env: 'X' } } })
  const clash = async (wanted: Draft) => (await refusal(apply(wanted))).faults?.map(({ message }) => message)
  const both = (second: object, more: object[] = []) => draft({ systems: [system(), second], credentials: [credential(), ...more] })
  for (const host of ['127.0.0.1', 'localhost', 'LOCALHOST', '127.0.0.2', '::1', '::ffff:127.0.0.1']) {
    expect(await clash(both(other(host, 'rekey_root')))).toEqual([
      'The account "rekey_root" of other is that of the root credential of db already: both systems are on one server.',
    ])
  }
  expect(await clash(both(other('localhost', 'api')))).toEqual([
    'The account "api" of db is that of the root credential of other already: both systems are on one server.',
  ])
  const twice = credential({ name: 'api@other', system: 'other', consumers: [] })
  expect(await clash(both(other('localhost', 'other_root'), [twice]))).toEqual([
    'The account "api" of other is that of api@db already: both systems are on one server.',
  ])
  // Beside what is stored too.
  await apply(draft())
  const alone = draft({ systems: [other('localhost', 'rekey_root')], credentials: [] })
  expect(await clash(alone)).toHaveLength(1)
  // Another port, another server, another kind of system: the same names are other accounts.
  await apply(both(other('127.0.0.1', 'rekey_root', { port: 5433 }), [twice]))
})

test('other spellings of an account are refused: neither root nor another credential can be declared a second time', async () => {
  const maria = system({ connector: 'mariadb', root: { account: 'rk_root', secret: { env: 'X' } } })
  for (const account of ['rk_root@%', 'svc@%', 'svc@LOCALHOST']) {
    const error = await refusal(diff(draft({ systems: [maria], credentials: [credential({ account })] })))
    expect([error.code, error.faults?.[0]?.message]).toEqual(['fleet_invalid', expect.stringContaining('Write it as')])
  }
  const root = system({ connector: 'mariadb', root: { account: 'rk_root@%', secret: { env: 'X' } } })
  expect((await refusal(diff(draft({ systems: [root], credentials: [credential({ account: 'rk_root' })] })))).code).toBe('fleet_invalid')
})

/** Every refusal leaves everything as it was. */
test.each<[string, string, Draft | ((base: Draft) => Draft), RegExp]>([
  ['a binding change of a live credential', 'conflict', draft({ credentials: [credential({ account: 'other' })] }), /refused/],
  ['a reserved name', 'fleet_invalid', draft({ credentials: [credential({ name: 'root@x' })] }), /faults/],
  ['an unknown connector', 'fleet_invalid', draft({ systems: [system({ connector: 'oracle' })] }), /fault/],
  ['an account that a stored credential has', 'conflict', draft({ credentials: [credential({ name: 'renamed' })] }), /hold/],
  [
    'a file that a stored consumer has',
    'conflict',
    draft({
      credentials: [
        credential({ name: 'x', account: 'x', consumers: [{ name: 'x', file: { path: '/srv/fleet/one.env' }, activation: 'none' }] }),
      ],
    }),
    /hold/,
  ],
  [
    'two ways to write one path',
    'conflict',
    draft({
      credentials: [
        credential({ consumers: ['a', '/srv/fleet/a'].map((path, i) => ({ name: `${i}`, file: { path }, activation: 'none' })) }),
      ],
    }),
    /hold/,
  ],
  ['an authority that is not given', 'bad_input', draft({ systems: [system({ address: { host: 'h', caFile: 'ca.pem' } })] }), /ca\.pem/],
])('%s is refused', async (_name, wanted, change, message) => {
  await apply(draft())
  const before = await everything()
  const error = await refusal(apply(change as Draft))
  expect([error.code, error.message]).toEqual([wanted, expect.stringMatching(message)])
  expect(await everything()).toEqual(before)
})

test('a fault in the last credential leaves nothing of the first', async () => {
  const wanted = draft({ credentials: [credential(), credential({ name: 'two', account: 'two', consumers: [] })] })
  const { digest, needed } = await diff(wanted)
  const before = await everything()
  const secrets = new Map(needed.slice(0, 2).map((one) => [one.for, Secret.fromText('x')]))
  const missing = await refusal(apply(wanted, { digest, secrets }))
  expect([missing.code, missing.message]).toEqual(['bad_input', 'The secret for credential:two is missing.'])
  for (const bad of [new Uint8Array(LIMITS.secretBytes + 1).fill(65), Uint8Array.of(0xff), new TextEncoder().encode('a\nb')]) {
    const error = await refusal(apply(wanted, { secrets: new Map([...secrets, ['credential:two', new Secret(bad)]]) }))
    expect([error.code, error.message]).toEqual(['bad_input', expect.stringContaining('The secret for credential:two')])
  }
  expect(await everything()).toEqual(before)
})

test('a diff that is out of date is not applied', async () => {
  const { digest } = await diff(draft())
  await apply(draft({ credentials: [] }))
  expect((await refusal(apply(draft(), { digest }))).code).toBe('plan_changed')
  expect(await findCredential(engine.db.store, 'api@db')).toBeNull()
})

test('whether the value in use is given is part of what was agreed to', async () => {
  const known = await diff(draft())
  const unknown = await diff(draft({ credentials: [credential({ current: undefined })] }))
  const told = ({ changes }: typeof known) => changes.map(({ of, takeover }) => (of === 'credential' ? takeover : undefined))
  expect(told(known).filter((one) => one !== undefined)).toEqual([false])
  expect(told(unknown).filter((one) => one !== undefined)).toEqual([true])
  expect(known.digest).not.toBe(unknown.digest)
})

test('the text of an authority is stored, renewed without a diff, and never a private key', async () => {
  const pem = (body: string) => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`
  const wanted = draft({ systems: [system({ address: { host: 'h', caFile: 'ca.pem' } })] })
  expect((await diff(wanted)).authorities).toEqual(['/srv/fleet/ca.pem'])
  const given = (body: string) => ({ authorities: new Map([['/srv/fleet/ca.pem', pem(body)]]) })
  await apply(wanted, given('one'))
  const before = await everything()
  await apply(wanted, given('one'))
  await apply(wanted)
  expect(await everything()).toEqual(before)
  await apply(wanted, given('two'))
  expect(await engine.db.store.query('select ca from system')).toEqual([{ ca: pem('two') }])
  expect((await events()).slice(-2)).toEqual(['system.changed db', 'fleet.applied fleet'])
  const key = '-----BEGIN PRIVATE KEY-----\n'
  expect((await refusal(apply(wanted, { authorities: new Map([['/srv/fleet/ca.pem', pem('x') + key]]) }))).code).toBe('bad_input')
})

test('what is applied after another process made a new key-encryption key is wrapped by that one', async () => {
  const other = new Keyring([fileKeks(join(engine.folder, 'kek'))])
  await other.start(engine.db.store)
  await rotateKek({ store: engine.db.store, keyring: other, areas: [rewrapCredentials] }, ctx, { fresh: true })
  expect(engine.parts.keyring.activeId).not.toBe(other.activeId)
  await apply(draft())
  const used = await engine.db.store.query('select distinct kek_id from credential')
  expect(used).toEqual([{ kek_id: other.activeId }])
})

test('two that apply at once: one does it, the other finds it done', async () => {
  const { digest } = await diff(draft())
  const both = await Promise.allSettled([apply(draft(), { digest }), apply(draft(), { digest })])
  expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(both.flatMap((one) => (one.status === 'rejected' ? [isCode(one.reason, 'plan_changed')] : []))).toEqual([true])
})

test('what is missing from the file stays, and pages of a list follow one another', async () => {
  const many = Array.from({ length: 7 }, (_, i) => credential({ name: `c${i}`, account: `a${i}`, consumers: [] }))
  await apply(draft({ credentials: many }))
  await apply({})
  const names: string[] = []
  for (let after: string | undefined; ; ) {
    const page = await listCredentials(engine.db.store, { system: 'db', limit: 3, ...(after === undefined ? {} : { after }) })
    names.push(...page.map(({ name }) => name))
    if (page.length < 3) break
    after = page.at(-1)?.name
  }
  expect(names).toEqual([...many.map(({ name }) => name), 'root@db'])
  expect(await listCredentials(engine.db.store, { system: 'none', limit: 3 })).toEqual([])
})

const pick = fc.constantFrom
const someCredential = (name: string) =>
  fc
    .record({
      identity: pick('api', 'job'),
      every: pick('1d', '2d', null),
      grace: pick('0s', '5m'),
      known: fc.boolean(),
      consumers: fc.subarray(['one', 'two']),
      activation: pick('none', 'session'),
    })
    .map(({ every, grace, known, consumers, activation, identity: who }) =>
      credential({
        name,
        account: `account_${name}`,
        identity: who,
        current: known ? { prompt: true } : undefined,
        rotate: { grace, ...(every === null ? {} : { every }) },
        consumers: consumers.map((each) => ({ name: each, activation, file: { path: `${name}.${each}` } })),
      }),
    )
const someFleet: fc.Arbitrary<Draft> = fc
  .record({
    host: pick('a', 'b'),
    owner: pick('x', 'y'),
    root: pick('r1', 'r2'),
    credentials: fc.subarray(['a', 'b', 'c']).chain((names) => fc.tuple(...names.map(someCredential))),
  })
  .map(({ host, owner, root, credentials }) => ({
    systems: [system({ address: { host, tls: 'off' }, root: { account: root, secret: { prompt: true } } })],
    identities: [identity({ owner }), identity({ name: 'job' })],
    credentials: credentials as object[],
  }))

/** Stored items as a table, so that order does not count. */
function tableOf({
  systems,
  identities,
  credentials,
}: Omit<Fleet, 'systems' | 'credentials'> & Awaited<ReturnType<typeof loadPresent>>['inventory']) {
  const table = new Map<string, unknown>()
  for (const each of systems) table.set(`system ${each.name}`, each)
  for (const { name, kind, owner, purpose, environment } of identities) table.set(`identity ${name}`, { kind, owner, purpose, environment })
  for (const { consumers, live: _live, ...fields } of credentials) {
    table.set(`credential ${fields.name}`, fields)
    for (const consumer of consumers) table.set(`consumer ${fields.name} ${consumer.name}`, consumer)
  }
  return table
}

test('after a and then b are applied, the inventory is b, beside what b does not mention of a', async () => {
  await fc.assert(
    fc.asyncProperty(someFleet, someFleet, async (a, b) => {
      const clean = await Engine.start({ worker: false })
      const outer = engine
      engine = clean
      try {
        await apply(a)
        const before = tableOf((await loadPresent(clean.db.store)).inventory)
        await apply(b)
        const after = tableOf((await loadPresent(clean.db.store)).inventory)
        engine = await Engine.start({ worker: false })
        await apply(b)
        const only = tableOf((await loadPresent(engine.db.store)).inventory)
        await engine.stop()
        expect(after).toEqual(new Map([...before, ...only]))
        engine = clean
        const left = (await diff(b)).changes.filter(({ kind }) => kind !== 'missing-from-file')
        expect(left).toEqual([])
      } finally {
        await clean.stop()
        engine = outer
      }
    }),
    { numRuns: 10 },
  )
})

test('ten thousand credentials are applied in one transaction', async () => {
  const credentials = Array.from({ length: 10_000 }, (_, i) =>
    credential({ name: `c${i}`, account: `a${i}`, consumers: [{ name: 'one', file: { path: `files/${i}` }, activation: 'session' }] }),
  )
  const begun = ctx.clock.monotonicMs()
  await apply(draft({ credentials }))
  const tookMs = ctx.clock.monotonicMs() - begun
  const [stored] = await engine.db.store.query('select count(*)::int as rows, count(distinct xmin::text)::int as transactions from version')
  expect(stored).toEqual({ rows: 10_001, transactions: 1 })
  const again = ctx.clock.monotonicMs()
  expect((await diff(draft({ credentials }))).changes).toEqual([])
  console.info(`10,000 credentials: diff and apply ${Math.round(tookMs)} ms, empty diff ${Math.round(ctx.clock.monotonicMs() - again)} ms`)
  expect(FLEET_DEFAULTS.concurrent).toBe((await listSystems(engine.db.store))[0]?.concurrent)
}, 180_000)

test('nothing is given to an identity that is not active, and nothing that lives is taken from one', async () => {
  const other = identity({ name: 'other' })
  const two = (more: object = {}) => draft({ identities: [identity(), other], credentials: [credential(more)] })
  await apply(two())
  const id = (await idsByName(engine.db.store, ['api'])).get('api') ?? ''
  const move = (how: typeof suspendIdentity) => engine.db.store.inTx((tx) => how(tx, ctx, id, 'a laptop was stolen'))
  const message = async (wanted: Draft) => (await refusal(apply(wanted))).faults?.map((fault) => fault.message)
  const more = credential({ name: 'new', account: 'new', consumers: [] })
  await move(suspendIdentity)
  expect(await message({ ...two(), credentials: [credential(), more] })).toEqual(['credential new: its identity api is suspended.'])
  expect(await message(two({ identity: 'other' }))).toEqual([
    'credential api@db: api, which has it, is suspended. Resume or offboard api first.',
  ])
  // What is there already may stay, and change in other ways.
  expect((await apply(two({ rotate: { every: '10d' } }))).applied).toMatchObject({ change: 1 })
  await move(resumeIdentity)
  expect((await apply(two({ identity: 'other' }))).applied).toMatchObject({ change: 1 })
  await move(offboardIdentity)
  expect(await message(two({ identity: 'api' }))).toEqual(['credential api@db: its identity api is offboarded.'])
})
