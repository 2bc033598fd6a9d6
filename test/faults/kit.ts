/** Cases of the fault tests: credentials on real systems, and what must hold of each after a fault. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Address } from '../../src/connectors/contract.ts'
import type { RotationView } from '../../src/credential/index.ts'
import { dataKeyBound, versionBound } from '../../src/credential/targets.ts'
import type { CredentialSpec, Engine } from '../../src/credential/testing.ts'
import { messageOf, newId, Secret, sleep, systemClock } from '../../src/kernel/index.ts'
import { open } from '../../src/seal/index.ts'
import { accepts, oldSecret, type Way, wayName, type Yard } from './kit.yards.ts'

/** One credential in the inventory and on its system, with a consumer that reads a file. */
export interface Case {
  readonly way: Way
  readonly yard: Yard
  readonly name: string
  readonly credential: string
  readonly system: string
  readonly path: string
}

export interface CaseOptions {
  /** Of the one consumer; default `none`. */
  readonly activation?: 'session' | 'report' | 'none'
  /** Where the system is said to be; default its real address. */
  readonly address?: Address
  readonly concurrent?: number
  readonly everySeconds?: number
  readonly graceSeconds?: number
  /** Another case's system to share. */
  readonly system?: string
  /** The consumer's file; default one in the engine's folder. */
  readonly path?: string
}

/** Puts an account on the system, and its credential with a consumer's file into the inventory. */
export async function makeCase(engine: Engine, yard: Yard, way: Way, options: CaseOptions = {}): Promise<Case> {
  const tag = `f${newId().replaceAll('-', '').slice(-12)}`
  const secret = oldSecret()
  const path = options.path ?? join(engine.folder, `${tag}.secret`)
  if (options.path === undefined) secret.revealText((text) => writeFileSync(path, `${text}\n`))
  const address = options.address ?? yard.lab.address
  if (way.root) await yard.createRoot(tag, secret)
  const root = way.root ? { account: tag, secret } : yard.lab.root
  const system = options.system ?? (await engine.addSystem(`${yard.kind}-${tag}`, yard.kind, address, root, options.concurrent ?? 8))
  const consumers = [{ name: 'app', path, activation: options.activation ?? 'none' }]
  if (way.root) {
    const name = `root@${yard.kind}-${tag}`
    const credential = await addConsumer(engine, name, consumers[0])
    return { way, yard, name, credential, system, path }
  }
  const accounts = way.strategy === 'alternating' ? [`${tag}a`, `${tag}b`] : [tag]
  for (const [index, account] of accounts.entries()) await yard.lab.createAccount(account, index === 0 ? secret : oldSecret())
  const spec: CredentialSpec = { name: tag, strategy: way.strategy, accounts, current: secret, consumers }
  const { everySeconds, graceSeconds } = options
  const times = { ...(everySeconds === undefined ? {} : { everySeconds }), ...(graceSeconds === undefined ? {} : { graceSeconds }) }
  return { way, yard, name: tag, credential: await engine.addCredential(system, { ...spec, ...times }), system, path }
}

async function addConsumer(
  engine: Engine,
  name: string,
  consumer: { name: string; path: string; activation: string } | undefined,
): Promise<string> {
  const [row] = await engine.db.store.query<{ id: string }>('select id from credential where name = $1', [name])
  if (row === undefined || consumer === undefined) throw new Error(`${name} is not in the inventory`)
  await engine.db.store.query('insert into consumer (id, credential_id, name, file_path, activation) values ($1, $2, $3, $4, $5)', [
    newId(),
    row.id,
    consumer.name,
    consumer.path,
    consumer.activation,
  ])
  return row.id
}

/** Starts one rotation for each case, in the order of the cases. */
export async function rotate(engine: Engine, cases: readonly Case[]): Promise<string[]> {
  const ids: string[] = []
  for (const one of cases) ids.push(...(await engine.rotate([one.name], { root: one.way.root })))
  return ids
}

/** A value that Rekey holds, opened out of its database. */
export interface Held {
  readonly state: string
  readonly number: number
  readonly account: string
  readonly secret: Secret
}

export async function heldValues(engine: Engine, credential: string): Promise<Held[]> {
  const { store, keyring } = engine.parts
  const rows = await store.query<Omit<Held, 'secret'> & { id: string; sealed: Uint8Array; kek_id: string; wrapped_key: Uint8Array }>(
    `select v.id, v.state, v.number, v.account, v.sealed, c.kek_id, c.wrapped_key from version v join credential c on c.id = v.credential_id
      where c.id = $1 and v.sealed is not null order by v.number`,
    [credential],
  )
  return Promise.all(
    rows.map(async ({ id, state, number, account, sealed, kek_id, wrapped_key }) => {
      const key = await keyring.unwrap(store, kek_id, wrapped_key, dataKeyBound(credential))
      return { state, number, account, secret: open(key, sealed, versionBound(credential, id)) }
    }),
  )
}

async function acceptedOf(one: Case, held: readonly Held[]): Promise<Held[]> {
  const answers = await Promise.all(held.map((each) => accepts(one.yard, each.account, each.secret)))
  return held.filter((_, index) => answers[index])
}

/** The value in a consumer's file, or null if there is none. */
export function published(path: string): Secret | null {
  const text = existsSync(path) ? readFileSync(path, 'utf8').replace(/\n$/, '') : ''
  return text === '' ? null : Secret.fromText(text)
}

/**
 * What is wrong at any moment of an outage. Invariants 1 and 2: a value that Rekey holds is accepted, so the target was given nothing
 * that is not stored. Where old and new overlap, the value that the consumer reads must be accepted all the time.
 */
export async function faultsDuring(engine: Engine, one: Case): Promise<string[]> {
  const held = await heldValues(engine, one.credential)
  const accepted = await acceptedOf(one, held)
  const file = published(one.path)
  const inFile = held.find((each) => file !== null && each.secret.equals(file))
  return [
    ...(accepted.length === 0 ? ['no value that Rekey holds is accepted'] : []),
    ...(inFile === undefined ? ['the file holds a value that Rekey does not'] : []),
    ...(one.way.strategy !== 'in-place' && inFile && !accepted.includes(inFile) ? ['the published value is refused'] : []),
  ].map((fault) => `${wayName(one.way)}: ${fault}`)
}

const PATHS = {
  proven_dead: ['planned', 'staged', 'installed', 'verified', 'distributed', 'activated', 'retiring', 'retired', 'proven_dead'],
  undone: ['planned', 'staged', 'installed', 'verified', 'distributed', 'undo_requested', 'undone'],
} as const

/** What is wrong after the end: of the row, of what the target accepts, of the file, of the record. */
export async function faultsAfter(engine: Engine, one: Case, rotation: string, end: keyof typeof PATHS = 'proven_dead'): Promise<string[]> {
  const faults: string[] = []
  const [row] = await engine.db.store.query<{ state: string; open: boolean; problem: { reason: string } | null; seen: number[] }>(
    `select state, problem, array(select number from version v where v.credential_id = rotation.credential_id
                                   and last_probe ->> 'outcome' = 'accepted' order by number) as seen,
            attempt_step is not null or due_at is not null or lease_until is not null or ended_at is null as open
       from rotation where id = $1`,
    [rotation],
  )
  if (row?.state !== end) faults.push(`it ended ${row?.state} (${row?.problem?.reason})`)
  if (row?.open !== false) faults.push('an attempt, a claim or a due time is still open')
  const held = await heldValues(engine, one.credential)
  const accepted = await acceptedOf(one, held)
  const current = held.filter((each) => each.state === 'current')
  const number = end === 'undone' ? 1 : 2
  if (current.length !== 1 || current[0]?.number !== number) faults.push(`current is ${current.map((each) => each.number)}`)
  if (accepted.map((each) => each.number).join() !== String(number)) faults.push(`accepted: ${accepted.map((each) => each.number)}`)
  if (row?.seen.join() !== String(number)) faults.push(`last seen accepted: ${row?.seen}`)
  const file = published(one.path)
  if (file === null || current[0]?.secret.equals(file) !== true) faults.push('the file does not hold the current value')
  if (existsSync(join(dirname(one.path), `.${basename(one.path)}.rekey-new`))) faults.push('a prepared file is left')
  const told = await storyOf(engine, rotation)
  if (told.join() !== PATHS[end].join()) faults.push(`evidence tells ${told}`)
  return faults.map((fault) => `${wayName(one.way)}: ${fault}`)
}

/** The states that evidence tells of a rotation, in order. */
export async function storyOf(engine: Engine, rotation: string): Promise<string[]> {
  const bodies = await bodiesOf(engine, rotation)
  return bodies.flatMap(({ type }) => (type.startsWith('rotation.') ? [type.slice('rotation.'.length)] : []))
}

export async function bodiesOf(engine: Engine, rotation: string): Promise<{ type: string; data: Record<string, unknown> }[]> {
  const rows = await engine.db.store.query<{ body: string }>('select body from evidence_event where body like $1 order by id', [
    `%"rotation":"${rotation}"%`,
  ])
  return rows.map((row) => JSON.parse(row.body) as { type: string; data: Record<string, unknown> })
}

/** Waits for every rotation's end or block. */
export async function ended(engine: Engine, rotations: readonly string[], ms = 45_000): Promise<RotationView[]> {
  const views: RotationView[] = []
  for (const id of rotations) views.push(await engine.finished(id, ms))
  return views
}

/** `ended`, patient with a database that does not answer. */
export async function endedInTheEnd(engine: Engine, rotations: readonly string[], ms: number): Promise<void> {
  const until = systemClock.monotonicMs() + ms
  for (;;) {
    try {
      await ended(engine, rotations, until - systemClock.monotonicMs())
      return
    } catch (error) {
      if (systemClock.monotonicMs() > until) throw error
      await sleep(100)
    }
  }
}

/** Connections on the target, when they have come down to `most`; else after `ms`. */
export async function connections(yard: Yard, most: number, ms = 5_000): Promise<number> {
  const until = systemClock.monotonicMs() + ms
  for (;;) {
    const count = await yard.lab.countConnections()
    if (count <= most || systemClock.monotonicMs() > until) return count
    await sleep(50)
  }
}

/** Counts cases by group, and prints a table at the end. */
export class Tally {
  readonly #groups = new Map<string, { cases: number; lost: number }>()

  /** Counts a case and hands its faults on. A check that throws counts as lost. */
  async count(group: string, check: Promise<readonly string[]>): Promise<readonly string[]> {
    const faults = await check.catch((error: unknown) => [`the check failed: ${messageOf(error)}`])
    const row = this.#groups.get(group) ?? { cases: 0, lost: 0 }
    this.#groups.set(group, { cases: row.cases + 1, lost: row.lost + (faults.length > 0 ? 1 : 0) })
    return faults
  }

  print(): void {
    const rows = [...this.#groups].map(([group, { cases, lost }]) => [group, String(cases), String(cases - lost), String(lost)])
    const lines = [['group', 'cases', 'survived', 'lost'], ...rows].map(
      ([group = '', ...numbers]) => group.padEnd(52) + numbers.map((number) => number.padStart(9)).join(''),
    )
    console.info(`faults\n${lines.join('\n')}`)
  }
}
