/**
 * The cascade of one identity with 200 real PostgreSQL credentials, suspended, destroyed and each proven dead, as a ratio to as many
 * rotations started by hand on the same server. The two take turns in the same run, so that whatever else the machine does hits both;
 * the ratio is of the wall times of each pair. A third figure is the cascade of credentials that others use: the same rotations.
 */
import { Engine } from '../src/credential/testing.ts'
import { joinIdentity, offboardIdentity } from '../src/identity/index.ts'
import { Secret, sleep } from '../src/kernel/index.ts'
import { scramSha256Verifier } from '../src/seal/index.ts'
import { type LabPostgres, startPostgres } from '../test/lab/postgres.ts'
import { range, report, timed } from './report.ts'

const CREDENTIALS = Number(process.argv[2] ?? 200)
const ROUNDS = Number(process.argv[3] ?? 3)
const AT_ONCE = 8
const START = 'start-value-of-the-benchmark'

interface Yard {
  readonly target: LabPostgres
  readonly engine: Engine
  readonly system: string
  readonly verifier: string
}

/** An identity with so many credentials; `shared`: somebody else uses each, without a file. */
async function holder({ target, engine, system, verifier }: Yard, name: string, shared: boolean): Promise<{ id: string; names: string[] }> {
  const id = await engine.db.store.inTx((tx) => joinIdentity(tx, engine.ctx, { name, kind: 'human', purpose: 'bench', source: 'api' }))
  const names = Array.from({ length: CREDENTIALS }, (_, i) => `${name}_${i}`)
  const current = Secret.fromText(START)
  for (const account of names) {
    await target.query(`create role ${account} login password '${verifier}'`)
    const consumers = shared ? [{ name: 'somebody-else', activation: 'none' as const }] : []
    await engine.addCredential(system, { name: account, strategy: 'in-place', accounts: [account], current, identity: id, consumers })
  }
  return { id, names }
}

/** From the offboarding to the last proof. */
async function cascade({ engine }: Yard, id: string): Promise<void> {
  await engine.db.store.inTx((tx) => offboardIdentity(tx, engine.ctx, id, 'benchmark'))
  for (;;) {
    const [row] = await engine.db.store.query<{ state: string }>('select state from closure where identity_id = $1', [id])
    if (row?.state === 'closed') return
    if (row !== undefined && row.state !== 'destroying') throw new Error(`the closure is ${row.state}`)
    await sleep(20)
  }
}

async function main(): Promise<void> {
  const [target, engine] = await Promise.all([startPostgres(), Engine.start()])
  await engine.addCloser()
  const address = { host: target.host, port: target.port, database: 'postgres', tls: 'off' } as const
  const system = await engine.addSystem('bench', 'postgres', address, target.superuser, AT_ONCE)
  const yard = { target, engine, system, verifier: await scramSha256Verifier(Secret.fromText(START)) }
  const [byHand, ended, shared]: [number[], number[], number[]] = [[], [], []]
  for (let round = 0; round < ROUNDS; round++) {
    const rotated = await holder(yard, `hand${round}`, false)
    const leaver = await holder(yard, `gone${round}`, false)
    const used = await holder(yard, `used${round}`, true)
    const turns = [
      async () => byHand.push(await timed(async () => engine.finishedBatch(await engine.rotate(rotated.names)))),
      async () => ended.push(await timed(() => cascade(yard, leaver.id))),
      async () => shared.push(await timed(() => cascade(yard, used.id))),
    ]
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await turn()
  }
  const ratio = (times: readonly number[]) => range(times.map((time, round) => time / (byHand[round] ?? Number.NaN)))
  const seconds = (times: readonly number[]) => range(times.map((time) => time / 1000))
  report('closure', {
    [`${CREDENTIALS} rotations by hand, seconds`]: seconds(byHand),
    'cascade, destroyed and proven dead, seconds': seconds(ended),
    'cascade, rotated for others, seconds': seconds(shared),
    [`ratio, destroyed, of ${ROUNDS} rounds`]: ratio(ended),
    [`ratio, rotated, of ${ROUNDS} rounds`]: ratio(shared),
  })
  await engine.stop()
  await target.stop()
}

await main()
process.exit(0)
