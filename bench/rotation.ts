/**
 * Rotations per second, verified and proven dead, against a bare loop that makes the same calls to the same server with `pg` alone.
 *
 * The two take turns in the same run, each beginning every second time, so that whatever else the machine does hits
 * both; the ratio is the median over the pairs of turns. Beside it stands the processor time of each, which a busy machine hardly moves.
 */
import { Engine } from '../src/credential/testing.ts'
import { Secret } from '../src/kernel/index.ts'
import { scramSha256Verifier } from '../src/seal/index.ts'
import { startPostgres } from '../test/lab/postgres.ts'
import { addSpent, parentOf, processorTime } from './processor.ts'
import { median, ms, range, report, timed } from './report.ts'
import { Floor } from './rotation.floor.ts'

const CREDENTIALS = Number(process.argv[2] ?? 500)
const ROUNDS = Number(process.argv[3] ?? 7)
/** Rotated in one go, before it is the other's turn. */
const SLICE = Number(process.argv[4] ?? CREDENTIALS)
const AT_ONCE = 8
const ALONE = 60
const START = 'start-value-of-the-benchmark'

/** What one side needed: wall time of each slice, processor time in all. */
class Side {
  readonly wallMs: number[] = []
  readonly spentMs: Record<string, number> = {}
  readonly #work: (slice: number) => Promise<void>
  readonly #servers: Readonly<Record<string, number>>

  constructor(servers: Readonly<Record<string, number>>, work: (slice: number) => Promise<void>) {
    this.#work = work
    this.#servers = servers
  }

  async run(slice: number): Promise<void> {
    const before = processorTime(this.#servers)
    this.wallMs.push(await timed(() => this.#work(slice)))
    addSpent(this.spentMs, before, processorTime(this.#servers))
  }

  spentEach(count: number): string {
    const parts = Object.entries(this.spentMs).map(([name, spent]) => `${name} ${(spent / count).toFixed(2)}`)
    const all = Object.values(this.spentMs).reduce((sum, spent) => sum + spent, 0)
    return `${(all / count).toFixed(2)} ms (${parts.join(', ')})`
  }
}

async function rotateAll(engine: Engine, names: readonly string[]): Promise<void> {
  await engine.finishedBatch(await engine.rotate(names))
}

/** Slices of both, by turns. */
async function together(floor: Side, ours: Side, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (let slice = 0; slice < CREDENTIALS / SLICE; slice++) {
      const turn = [floor, ours]
      for (const side of (round + slice) % 2 === 0 ? turn : turn.reverse()) await side.run(slice)
    }
  }
}

function throughput(title: string, floor: Side, ours: Side): Record<string, string> {
  const ratios = floor.wallMs.map((floorMs, slice) => floorMs / (ours.wallMs[slice] ?? 0))
  const count = floor.wallMs.length * SLICE
  const perSecond = (side: Side) => ((SLICE / median(side.wallMs)) * 1000).toFixed(1)
  return {
    [`${title}: floor, rotations per second`]: perSecond(floor),
    [`${title}: Rekey, rotations per second`]: perSecond(ours),
    [`${title}: ratio, median of ${ratios.length} pairs`]: range(ratios),
    [`${title}: floor, processor time each`]: floor.spentEach(count),
    [`${title}: Rekey, processor time each`]: ours.spentEach(count),
  }
}

async function alone(floor: Floor, engine: Engine): Promise<Record<string, string>> {
  const [floorMs, oursMs]: [number[], number[]] = [[], []]
  for (let i = 0; i < ALONE; i++) {
    floorMs.push(await timed(() => floor.rotate(`floor_${i}`)))
    oursMs.push(await timed(() => rotateAll(engine, [`bench_${i}`])))
  }
  return {
    'alone: floor, median': ms(median(floorMs)),
    'alone: Rekey, median': ms(median(oursMs)),
    [`alone: latency ratio of the medians of ${ALONE}`]: (median(oursMs) / median(floorMs)).toFixed(2),
  }
}

async function main(): Promise<void> {
  const [target, engine] = await Promise.all([startPostgres(), Engine.start()])
  const verifier = await scramSha256Verifier(Secret.fromText(START))
  const accounts = Array.from({ length: CREDENTIALS }, (_, i) => `bench_${i}`)
  const floorAccounts = Array.from({ length: CREDENTIALS }, (_, i) => `floor_${i}`)
  for (const account of [...accounts, ...floorAccounts]) await target.query(`create role ${account} login password '${verifier}'`)
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  const system = await engine.addSystem('bench', 'postgres', address, target.superuser, AT_ONCE)
  for (const account of accounts) {
    await engine.addCredential(system, { name: account, strategy: 'in-place', accounts: [account], current: Secret.fromText(START) })
  }
  const floor = new Floor(target, new Map(floorAccounts.map((account) => [account, START])), AT_ONCE)
  const [own] = await engine.db.store.query<{ pid: number }>('select pg_backend_pid() as pid')
  const servers = { target: target.pid, database: parentOf(own?.pid ?? 0) }
  const part = (names: readonly string[], slice: number) => names.slice(slice * SLICE, (slice + 1) * SLICE)
  const sides = () =>
    [
      new Side(servers, (slice) => floor.all(part(floorAccounts, slice))),
      new Side(servers, (slice) => rotateAll(engine, part(accounts, slice))),
    ] as const
  const first = sides()
  await together(...first, 1)
  const later = sides()
  await together(...later, ROUNDS - 1)
  report('rotation', {
    ...throughput('first of each', ...first),
    ...throughput('later', ...later),
    ...(await alone(floor, engine)),
  })
  await floor.close()
  await engine.stop()
  await target.stop()
}

await main()
process.exit(0)
