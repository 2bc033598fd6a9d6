/** The course of the drill: fleet, leak, scope, rotation, proof. */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openClient } from '../src/cli/client.ts'
import type { CredentialView, RotationView, Started } from '../src/credential/index.ts'
import { sleep, systemClock } from '../src/kernel/index.ts'
import { freePort } from '../test/lab/ports.ts'
import { type Fleet, servicesOf, writeFleet } from './fleet.ts'
import type { ConsumerPlan, ProcessPlan, Report } from './messages.ts'
import type { Options } from './options.ts'
import { startChild } from './processes.ts'
import { type Rekey, SHOWN, startRekey } from './rekey.ts'
import type { Resources } from './resources.ts'
import type { Screen } from './screen.ts'
import type { SystemName } from './services.ts'
import { START, type System } from './systems.ts'
import { type ConsumerSum, countOf, reached, STEPS, type Watch } from './tally.ts'
import { attackText, clockText, consumerText, count, labelled, progressLines, scopeLines, some } from './view.ts'

const PROCESSES = 4
const LOOK_MS = 150
const PLAIN_EVERY_MS = 1_000
const CONNECT_MS = 20_000
/** Rekey itself gives up on a rotation after some four minutes. */
const ROTATE_MS = 300_000
const PROGRAMS: Readonly<Record<SystemName, string>> = { 'orders-db': 'PostgreSQL', 'catalog-db': 'MariaDB', cache: 'Redis' }
const ENDED: readonly RotationView['state'][] = ['proven_dead', 'not_provable', 'irrevocable', 'undone', 'taken_over', 'blocked']

/** Everything that the phases need. */
export interface Drill {
  readonly options: Options
  readonly screen: Screen
  readonly resources: Resources
  readonly watch: Watch
  readonly startedMs: number
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal
}

/** The fleet at work, with Rekey beside it. */
export interface Stage {
  readonly systems: readonly System[]
  readonly missing: readonly string[]
  readonly fleet: Fleet
  readonly rekey: Rekey
}

/** What the rotation came to. */
export interface Outcome {
  readonly scope: readonly CredentialView[]
  readonly rotations: readonly RotationView[]
  readonly attackBefore: { readonly accepted: number; readonly sessions: number }
  readonly consumersBefore: ConsumerSum
}

/** Where the evidence lies and whether it holds. */
export interface Proof {
  readonly bundle: string
  readonly key: string
  readonly sound: boolean
  /** The verdict on a copy with one flipped byte; null if it was believed. */
  readonly tampered: { readonly byte: number; readonly found: string } | null
}

/** Starts servers, Rekey and consumers, and waits until every consumer works. */
export async function buildFleet(drill: Drill): Promise<Stage> {
  const { screen, resources, options } = drill
  head(drill, '1', 'A fleet')
  const names = (Object.keys(START) as SystemName[]).filter((name) => options.only === null || name === options.only)
  const [rekey, systems] = await Promise.all([startServer(drill), startSystems(drill, names)])
  const missing = names.filter((name) => !systems.some((system) => system.name === name)).map((name) => PROGRAMS[name])
  for (const program of missing) screen.line(screen.paint(`  ${program} is not installed: the drill goes on without it`, 'yellow'))
  for (const system of systems) {
    const own = some(servicesOf(system.name).length, 'credential')
    screen.line(labelled(screen, system.name, `${PROGRAMS[system.name]} on ${system.host}:${system.port}, ${own}`))
  }
  const fleet = writeFleet(resources.folder, systems)
  screen.line(labelled(screen, 'rekey', `on ${rekey.url}, with its own PostgreSQL`))
  const [applied] = await rekey.list<{ applied: { add: number } }>('apply', '-f', fleet.fleetFile, '--yes', '--json')
  screen.line(labelled(screen, 'inventory', `${some(applied?.applied.add ?? 0, 'item')} declared by rekey apply -f fleet.yaml`))
  await startConsumers(drill, fleet, rekey)
  const { watch } = drill
  const working = () => watch.stats().length === fleet.consumers.length && watch.sum.connected === fleet.consumers.length
  await until(drill, CONNECT_MS, working, () => `consumers: ${consumerText(screen, watch.sum)}`)
  screen.line(labelled(screen, 'consumers', `${count(fleet.consumers.length)} in ${PROCESSES} processes, working on open connections`))
  return { systems, missing, fleet, rekey }
}

async function startServer({ resources }: Drill): Promise<Rekey> {
  const data = join(resources.folder, 'rekey')
  // Its database runs as an unprivileged user when we are root, who must be able to pass.
  mkdirSync(data, { mode: process.getuid?.() === 0 ? 0o711 : 0o700 })
  return startRekey(data, await freePort(), join(resources.folder, 'rekey.log'), (running) => resources.addProcess(running))
}

async function startSystems({ resources }: Drill, names: readonly SystemName[]): Promise<System[]> {
  const starting = names.map((name) => resources.addSystem(START[name](servicesOf(name))))
  return (await Promise.all(starting)).filter((system) => system !== null)
}

async function startConsumers({ resources, watch }: Drill, fleet: Fleet, { url, tokenFile }: Rekey): Promise<void> {
  for (let index = 0; index < PROCESSES; index++) {
    const own: ConsumerPlan[] = fleet.consumers.filter((_, at) => at % PROCESSES === index)
    const plan: ProcessPlan = { url, tokenFile, consumers: own }
    const file = join(resources.folder, `consumers-${index + 1}.json`)
    writeFileSync(file, JSON.stringify(plan), { mode: 0o600 })
    const log = join(resources.folder, 'consumers.log')
    resources.addProcess(startChild('consumer.ts', `consumers ${index + 1}`, file, log, (report) => take(watch, report)))
  }
}

function take(watch: Watch, report: Report): void {
  if (report.kind === 'consumers') watch.consumers(report.stats)
  else if (report.kind === 'attack') watch.attacked(report.state)
  else watch.failures.push(report.reason)
}

/** One store leaks, and somebody begins to use what was in it. */
export async function leak(drill: Drill, { fleet }: Stage): Promise<void> {
  const { screen, resources, watch } = drill
  head(drill, '2', 'One store of secrets leaks')
  const log = join(resources.folder, 'attacker.log')
  resources.addProcess(startChild('attacker.ts', 'attacker', fleet.leakedFile, log, (report) => take(watch, report)))
  screen.line(labelled(screen, 'leaked', `leaked-store.env, ${some(fleet.leaked.length, 'value')} in use, with where to use them`))
  const inside = () => (watch.attack?.rounds ?? 0) >= 2
  await until(drill, CONNECT_MS, inside, () => `attacker: ${attackText(screen, watch.attack)}`)
  screen.line(labelled(screen, 'attacker', attackText(screen, watch.attack)))
}

/** What was in the store, by the inventory. */
export async function findScope(drill: Drill, { fleet, rekey, systems }: Stage): Promise<CredentialView[]> {
  const { screen } = drill
  head(drill, '3', 'Scope: whose credentials these are')
  const all = await rekey.list<CredentialView>('credential', 'list', '--json')
  const scope = all.filter(({ name }) => fleet.leaked.includes(name))
  for (const line of scopeLines(
    screen,
    scope,
    systems.map(({ name }) => name),
  ))
    screen.line(line)
  const spared = all.filter(({ root }) => !root).length - scope.length
  if (spared > 0)
    screen.line(
      `  ${some(spared, 'credential')} of the inventory ${spared === 1 ? 'was' : 'were'} not in the store and will not be touched`,
    )
  return scope
}

/** Rotates everything that was in the store and shows how far it is, until nothing moves any more. */
export async function rotate(drill: Drill, { rekey, systems }: Stage, scope: readonly CredentialView[]): Promise<Outcome> {
  const { screen, watch, signal } = drill
  head(drill, '4', 'Rotation of everything that was in the store')
  const attackBefore = watch.attack ?? { accepted: 0, sessions: 0 }
  const consumersBefore = watch.sum
  const names = scope.map(({ name }) => name)
  const started = await rekey.list<Started & { batch: string }>(
    'rotation',
    'start',
    ...names,
    '--urgent',
    '--reason',
    'leaked-store.env is out',
    '--json',
  )
  const batch = started[0]?.batch ?? ''
  const client = await openClient({ url: rekey.url, tokenFile: rekey.tokenFile, serverUid: null, data: '', color: false }, () => {})
  const beganMs = systemClock.monotonicMs()
  const order = systems.map(({ name }) => name)
  let saidMs = beganMs
  for (;;) {
    const rotations = await client.all<RotationView>('/v1/rotations', { batch })
    const done = rotations.length === names.length && rotations.every(({ state }) => ENDED.includes(state))
    const elapsed = systemClock.monotonicMs() - beganMs
    screen.block(rotationBlock(drill, order, rotations, elapsed))
    if (!screen.live && (done || systemClock.monotonicMs() - saidMs >= PLAIN_EVERY_MS)) {
      saidMs = systemClock.monotonicMs()
      screen.line(`  ${plainProgress(drill, rotations, elapsed)}`)
    }
    if (done || elapsed > ROTATE_MS || signal.aborted) {
      signal.throwIfAborted()
      await seeAttackerFail(drill, () => rotationBlock(drill, order, rotations, elapsed))
      if (!screen.live) screen.line(`  attacker's first whole round after that: ${attackText(screen, watch.attack)}`)
      screen.settle(progressLines(screen, reached(order, rotations), countOf('all', rotations)))
      for (const { credential, state, reason } of rotations.filter((it) => it.state !== 'proven_dead')) {
        screen.line(screen.paint(`  ${credential}: ${state.replaceAll('_', ' ')}${reason === null ? '' : `, ${reason}`}`, 'red'))
      }
      return { scope, rotations, attackBefore, consumersBefore }
    }
    await sleep(LOOK_MS, signal)
  }
}

function rotationBlock(
  { screen, watch }: Drill,
  order: readonly string[],
  rotations: readonly RotationView[],
  elapsedMs: number,
): string[] {
  return [
    ...progressLines(screen, reached(order, rotations), countOf('all', rotations)),
    '',
    labelled(screen, 'attacker', attackText(screen, watch.attack)),
    labelled(screen, 'consumers', consumerText(screen, watch.sum)),
    labelled(screen, 'elapsed', `${(elapsedMs / 1000).toFixed(1)} s`),
  ]
}

function plainProgress({ screen, watch }: Drill, rotations: readonly RotationView[], elapsedMs: number): string {
  const { steps, total, blocked } = countOf('all', rotations)
  const far = STEPS.map(({ name }, index) => `${name} ${steps[index]}`).join(', ')
  const trouble = blocked > 0 ? `, blocked ${blocked}` : ''
  return `${(elapsedMs / 1000).toFixed(1)} s: ${far} of ${total}${trouble}; attacker's last round: ${attackText(screen, watch.attack)}`
}

/** A whole round of the attacker that began after the last rotation ended. */
async function seeAttackerFail(drill: Drill, block: () => readonly string[]): Promise<void> {
  const { watch, screen, signal } = drill
  // The round that is under way may have begun before; the one after it has not.
  const enough = (watch.attack?.rounds ?? 0) + 2
  for (let waited = 0; waited < CONNECT_MS && (watch.attack?.rounds ?? 0) < enough && !signal.aborted; waited += LOOK_MS) {
    screen.block(block())
    await sleep(LOOK_MS, signal)
  }
}

/** Exports the evidence, checks it without the server, and shows that a changed copy is found out. */
export async function prove(drill: Drill, { rekey }: Stage): Promise<Proof> {
  const { options, resources } = drill
  const bundle = join(options.out, 'evidence.html')
  const key = join(options.out, 'evidence.key')
  await rekey.list('evidence', 'export', '--out', bundle, '--json')
  const [published] = await rekey.list<{ key: string }>('evidence', 'key', '--json')
  writeFileSync(key, `${published?.key ?? ''}\n`)
  const verdict = await rekey.run('evidence', 'verify', bundle, '--key', key)
  const copy = join(resources.folder, 'tampered.html')
  const byte = tamper(bundle, copy)
  const { status, out } = await rekey.run('evidence', 'verify', copy, '--key', key)
  const found = out.split('\n')[0] ?? ''
  return { bundle, key, sound: verdict.status === 0 && /^sound$/m.test(verdict.out), tampered: status === 1 ? { byte, found } : null }
}

/** Flips one bit of one byte in the record of a proof of death: it says another version then. Returns the byte's place. */
function tamper(bundle: string, copy: string): number {
  copyFileSync(bundle, copy)
  const bytes = readFileSync(copy)
  const at = bytes.indexOf('"type":"rotation.proven_dead"')
  const byte = at < 0 ? Math.floor(bytes.length / 2) : at + '"type":"rotation.'.length
  bytes[byte] = (bytes[byte] ?? 0) ^ 1
  writeFileSync(copy, bytes)
  return byte
}

/** Waits for something that must happen; throws what it waits for if it does not in time, or if a child gave up. */
async function until({ screen, signal, watch }: Drill, withinMs: number, is: () => boolean, what: () => string): Promise<void> {
  const endMs = systemClock.monotonicMs() + withinMs
  while (!is() && !signal.aborted) {
    screen.block([`  ${what()}`])
    const [failure] = watch.failures
    if (failure !== undefined) throw new Error(`A process of the drill failed: ${failure}`)
    if (systemClock.monotonicMs() > endMs) throw new Error(`It took too long. ${what()}`)
    await sleep(LOOK_MS, signal)
  }
  screen.settle([])
  signal.throwIfAborted()
}

function head({ screen, startedMs, signal }: Drill, step: string, text: string): void {
  signal.throwIfAborted()
  const at = clockText(systemClock.monotonicMs() - startedMs)
  screen.line()
  screen.line(`${screen.paint(`${step}  ${text}`, 'bold')}  ${screen.paint(at, 'dim')}`)
}

/** How to verify the evidence without Rekey's server. */
export function verifyCommand({ bundle, key }: Proof): string {
  return `${SHOWN} evidence verify ${bundle} --key ${key}`
}
