/** A day in the life of one Rekey: all that it can do, fail at, be asked wrongly and die of, for the canary to look at afterwards. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sleep } from '../../src/kernel/index.ts'
import type { Store } from '../../src/store/index.ts'
import { freePort } from '../lab/ports.ts'
import { Rekey, until } from './rekey.ts'
import type { Needle } from './scanner.ts'
import { currentOf, keepCiphertexts, keksOf, openDatabase, secretsOf } from './secrets.ts'
import { ROOT_VARIABLE, startTargets, type Targets } from './targets.ts'
import { type Shown, Watch } from './watch.ts'

/** What the day left behind. */
export interface Day {
  readonly folder: string
  readonly data: string
  readonly work: string
  readonly log: string
  readonly rekey: Rekey
  readonly targets: Targets
  readonly needles: readonly Needle[]
  readonly shown: readonly Shown[]
  readonly looks: number
  /** How versions and shredding stand in the database at the end. */
  readonly versions: readonly { name: string; number: number; state: string; held: boolean; shredded: boolean }[]
  readonly shreddedEvents: number
  /** All rows of all tables as text: what is compressed or in large pieces on disk shows here. */
  readonly rows: string
  /** Values in use at the end, by credential. */
  readonly current: ReadonlyMap<string, string>
}

/** Lives it, in `folder`, and stops everything. */
export async function live(folder: string): Promise<Day> {
  const [data, work] = [join(folder, 'data'), join(folder, 'work')]
  mkdirSync(work)
  const log = join(folder, 'serve.log')
  const rekey = new Rekey({ data, work, log, port: await freePort() })
  const targets = await startTargets(work)
  const watch = new Watch()
  let store: Store | null = null
  try {
    await rekey.serve()
    store = openDatabase(data)
    await keepCiphertexts(store)
    watch.adopt(Number(readFileSync(join(data, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]))
    const keks = keksOf(data)
    await declare(rekey, targets, work)
    await askWrongly(rekey, targets)
    await rotateAll(rekey, work)
    await serveRoots(rekey)
    await rekey.done('kek', 'rotate')
    keks.push(...keksOf(data))
    await killAndGoOn(rekey)
    await lookAtEverything(rekey)
    const token = { kind: 'the admin token', bytes: Buffer.from(rekey.token), random: true }
    const declared = [...targets.declared].map(([name, text]) => ({ kind: `declared ${name}`, bytes: Buffer.from(text), random: true }))
    const needles = [...(await secretsOf(store, data)), ...keks, token, ...declared]
    const end = await stateOf(store, data)
    // A crash in which Node would leave a core with every secret in it.
    await rekey.end('SIGABRT')
    await rekey.serve()
    return { folder, data, work, log, rekey, targets, needles, shown: watch.stop(), looks: watch.looks, ...end }
  } catch (error) {
    await targets.stop()
    throw error
  } finally {
    watch.stop()
    await store?.close()
    await rekey.end('SIGTERM')
  }
}

async function declare(rekey: Rekey, targets: Targets, work: string): Promise<void> {
  writeFileSync(join(work, 'fleet.yaml'), targets.fleet)
  writeFileSync(join(work, 'in_place.env'), 'OTHER=1\nAPP_PASSWORD=none yet\n')
  chmodSync(join(work, 'in_place.env'), 0o640)
  const { status } = await rekey.cli(['apply', '-f', 'fleet.yaml', '--yes'], {
    env: { [ROOT_VARIABLE]: targets.declared.get(ROOT_VARIABLE) ?? '' },
  })
  if (status !== 0) throw new Error(`apply ended with ${status}: ${rekey.said.at(-1)?.text}`)
}

/** Requests that carry real secrets where none belongs. Each must be refused, and what it brought must go nowhere. */
async function askWrongly(rekey: Rekey, targets: Targets): Promise<void> {
  const secret = targets.declared.get('in_place.secret') ?? ''
  const id = '01a1fd8f-196a-7195-ac54-35df0174afb5'
  const applied = { text: targets.fleet, folder: '/', digest: 'x', prune: false, authorities: {} }
  const bodies: [string, unknown][] = [
    ['/v1/rotations', { names: ['in_place'], password: secret }],
    ['/v1/rotations', { names: { value: secret } }],
    ['/v1/rotations', `{"names": ["in_place"], "secret": "${secret}"`],
    ['/v1/rotations', secret],
    ['/v1/fleet/apply', { ...applied, secrets: { 'system:pg': { value: secret } } }],
    ['/v1/fleet/apply', { ...applied, prune: secret, secrets: { 'system:pg': secret } }],
    ['/v1/fleet/apply', { ...applied, secrets: { 'system:pg': btoa(secret) } }],
    [
      '/v1/fleet/diff',
      {
        text:
          `version: 1\nsystems:\n  - { name: x, root: { account: a, secret: ${secret} } }\n` +
          `  - { name: y, root: { account: a, secret: { ${secret} } } }\n`,
        folder: '/',
      },
    ],
    [
      '/v1/fleet/diff',
      {
        text:
          `version: 1\ncredentials:\n  - { name: x, current: "${secret}" }\n` +
          `  - { name: y, current: { ${secret}: 1, file: [${secret}] }, rotate: { every: ${secret} } }\n`,
        folder: '/',
      },
    ],
    [`/v1/challenges/${id}/answer`, { proof: btoa(secret), value: secret }],
    [`/v1/challenges/${id}/answer`, { proof: secret }],
    [`/v1/rotations/${id}/resolve`, { kind: secret, by: 'ada', reason: 'x' }],
    ['/v1/keks/rotate', { passphrase: secret }],
  ]
  for (const [path, body] of bodies) {
    const { status } = await rekey.api('POST', path, body, { 'idempotency-key': crypto.randomUUID() })
    if (status < 400 || status >= 500) throw new Error(`${path} answered ${status} to a wrong request`)
  }
  for (const token of [secret, `rekey_${secret}`]) {
    const { status } = await rekey.api('GET', '/v1/status', undefined, { authorization: `Bearer ${token}` })
    if (status !== 401) throw new Error(`a wrong token was answered with ${status}`)
  }
}

async function rotateAll(rekey: Rekey, work: string): Promise<void> {
  await rekey.done('rotation', 'start', '--all', '--reason', 'the store leaked')
  for (const name of ['report', 'undo', 'decided']) await rekey.reaches(name, 'distributed')
  await proveWrongly(rekey)
  const line = readFileSync(join(work, 'report.env'), 'utf8').trim()
  // Through a pipe, as an operator would; the value is sent nowhere.
  const { status } = await rekey.cli(['consumer', 'report', 'report', 'report-1', '--secret-file', '-'], {
    stdin: line.replace('APP_PASSWORD=', ''),
  })
  if (status !== 0) throw new Error('the right proof was refused')
  await rekey.reaches('report', 'proven_dead')
  await rekey.done('rotation', 'undo', await rekey.reaches('undo', 'distributed'), '--reason', 'wrong day')
  await rekey.reaches('undo', 'undone')
  await rekey.done(
    'rotation',
    'resolve',
    await rekey.reaches('decided', 'distributed'),
    '--override-activation',
    '--by',
    'ada',
    '--reason',
    'seen',
  )
  await rekey.reaches('decided', 'proven_dead')
  await rekey.reaches('taken', 'not_provable')
  for (const name of ['weak', 'quoted']) await rekey.done('rotation', 'retry', await rekey.reaches(name, 'blocked'))
  await sleep(100)
  // Refused, since nothing of it was retired yet: it stays blocked to the end of the day.
  await rekey.cli(['rotation', 'resolve', await rekey.reaches('weak', 'blocked'), '--irrevocable', '--by', 'ada', '--reason', 'gone'])
  await rekey.done('rotation', 'undo', await rekey.reaches('quoted', 'blocked'))
  // Taking back needs the same statement, which is refused again.
  await rekey.reaches('quoted', 'blocked', 'undone')
}

/** A proof with another key, and the value itself in place of a proof: what a careless consumer would send. */
async function proveWrongly(rekey: Rekey): Promise<void> {
  for (const proof of [btoa('another'.repeat(4)), Buffer.from(crypto.randomUUID()).toString('base64')]) {
    const made = await rekey.api('POST', '/v1/credentials/report/consumers/report-1/challenges', {})
    const { challenge } = JSON.parse(made.text) as { challenge: string }
    const { status } = await rekey.api('POST', `/v1/challenges/${challenge}/answer`, { proof })
    if (status < 400) throw new Error(`a wrong proof was answered with ${status}`)
  }
}

async function serveRoots(rekey: Rekey): Promise<void> {
  const systems = (await rekey.done('system', 'list', '--json')).trim().split('\n')
  const names = systems.map((line) => (JSON.parse(line) as { name: string }).name)
  for (const name of names.filter((each) => !['pg-weak', 'pg-quoting'].includes(each)))
    await rekey.done('system', 'rotate-root', name, '--wait')
  for (const name of ['pg-weak', 'pg-quoting']) await rekey.api('POST', `/v1/systems/${name}/rotate-root`, { reason: 'canary' })
}

/** SIGKILL while rotations run; the next process finishes them. */
async function killAndGoOn(rekey: Rekey): Promise<void> {
  const names = ['in_place', 'alt_a', 'killed', 'taken']
  await rekey.api('POST', '/v1/rotations', { names })
  await until('a rotation has begun', async () => ((await rekey.rotationOf('killed'))?.state === 'planned' ? null : true))
  await rekey.end('SIGKILL')
  await rekey.serve()
  for (const name of names) await rekey.reaches(name, 'proven_dead')
}

/** Every page that can be read, and every command that shows something. */
async function lookAtEverything(rekey: Rekey): Promise<void> {
  const document = JSON.parse((await rekey.api('GET', '/v1/openapi.json')).text) as { paths: Record<string, { get?: object }> }
  const { items } = JSON.parse((await rekey.api('GET', '/v1/rotations?limit=500')).text) as { items: { rotation: string }[] }
  const credentials = JSON.parse((await rekey.api('GET', '/v1/credentials?limit=500')).text) as { items: { name: string }[] }
  const started = JSON.parse((await rekey.api('POST', '/v1/rotations', { names: ['maria_in_place', 'in_place'].slice(-1) })).text) as {
    batch: string
  }
  const values: Record<string, readonly string[]> = {
    '/v1/rotations/{id}': items.map((item) => item.rotation),
    '/v1/batches/{id}/events': [started.batch],
    '/v1/credentials/{name}': credentials.items.map((item) => item.name),
    '/v1/systems/{name}/accounts': ['pg', 'pg-weak', 'pg-quoting', 'maria', 'redis', 'absent'],
  }
  for (const [path] of Object.entries(document.paths).filter(([, methods]) => methods.get)) {
    for (const value of values[path] ?? ['x']) await rekey.api('GET', path.replace(/\{\w+\}/, encodeURIComponent(value)))
  }
  await rekey.done('evidence', 'export', '--out', 'evidence.html')
  for (const command of ['status', 'fsck', 'evidence key', 'rotation list', 'discover pg', 'credential show in_place', 'kek list'])
    await rekey.done(...command.split(' '))
}

async function stateOf(store: Store, data: string) {
  const versions = await until('dead versions are shredded', async () => {
    const rows = await store.query<Day['versions'][number]>(
      `select c.name, v.number, v.state, v.sealed is not null as held, v.shredded_at is not null as shredded
         from version v join credential c on c.id = v.credential_id order by c.name, v.number`,
    )
    return rows.some((row) => ['dead', 'void'].includes(row.state) && row.held) ? null : rows
  })
  const [events] = await store.query<{ count: number }>(`select count(*)::int from evidence_event where body like '%"version.shredded"%'`)
  const tables = await store.query<{ name: string }>(
    "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
  )
  const texts: string[] = []
  for (const { name } of tables)
    texts.push(...(await store.query<{ row: string }>(`select t::text as row from ${name} t`)).map(({ row }) => row))
  return { versions, shreddedEvents: events?.count ?? 0, rows: texts.join('\n'), current: await currentOf(store, data) }
}
