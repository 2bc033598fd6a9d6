/**
 * The in-place gap, for how long a consumer's file holds only a dead value, when several rotations run at once on one system; and
 * what the same rotations take in all. By turns, since the machine does other things too.
 */
import { join } from 'node:path'
import { Engine } from '../src/credential/testing.ts'
import { Secret } from '../src/kernel/index.ts'
import { scramSha256Verifier } from '../src/seal/index.ts'
import { type LabPostgres, startPostgres } from '../test/lab/postgres.ts'
import { median, ms, report, timed } from './report.ts'

const CREDENTIALS = Number(process.argv[2] ?? 64)
const ROUNDS = Number(process.argv[3] ?? 6)
const START = 'start-value-of-the-benchmark'

/** A system of its own for each limit, on the same server: the limit is a property of the system. */
async function fleet(engine: Engine, target: LabPostgres, atOnce: number): Promise<string[]> {
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  const system = await engine.addSystem(`bench-${atOnce}`, 'postgres', address, target.superuser, atOnce)
  const verifier = await scramSha256Verifier(Secret.fromText(START))
  const names = Array.from({ length: CREDENTIALS }, (_, i) => `gap_${atOnce}_${i}`)
  for (const name of names) {
    await target.query(`create role ${name} login password '${verifier}'`)
    const consumers = [{ name: 'c', path: join(engine.folder, `${name}.env`), key: 'PASSWORD', activation: 'none' as const }]
    await engine.addCredential(system, { name, strategy: 'in-place', accounts: [name], current: Secret.fromText(START), consumers })
  }
  return names
}

const [target, engine] = await Promise.all([startPostgres(), Engine.start()])
const sides = await Promise.all(
  [1, 2, 8].map(async (atOnce) => ({ atOnce, names: await fleet(engine, target, atOnce), gaps: [] as number[], wall: [] as number[] })),
)
for (let round = 0; round <= ROUNDS; round++) {
  for (const side of sides) {
    let ids: string[] = []
    const took = await timed(async () => {
      ids = await engine.rotate(side.names)
      await engine.finishedBatch(ids)
    })
    // The first round also tries the declared values: not what later ones do.
    if (round === 0) continue
    const rows = await engine.db.store.query<{ gap_ms: number }>('select gap_ms from rotation where id = any($1::uuid[])', [ids])
    side.gaps.push(...rows.map((row) => row.gap_ms))
    side.wall.push(took / CREDENTIALS)
  }
}
const figures: Record<string, string> = {}
for (const { atOnce, gaps, wall } of sides) {
  const high = gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length * 0.95)] ?? Number.NaN
  figures[`gap, ${atOnce} at once, median and 95th percentile`] = `${ms(median(gaps))}, ${ms(high)}`
  figures[`a rotation, ${atOnce} at once, each`] = ms(median(wall))
}
report('gap', figures)
await engine.stop()
await target.stop()
process.exit(0)
