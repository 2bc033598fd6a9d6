/**
 * Rotations per second, verified and proven dead, against a bare loop in the same run that makes the same calls to the same server
 * with `pg` alone: ALTER ROLE with a verifier, a login with the new value, a login with the old one that must be refused.
 */
import pg from 'pg'
import { Engine } from '../src/credential/testing.ts'
import { Secret } from '../src/kernel/index.ts'
import { generatePassword, scramSha256Verifier } from '../src/seal/index.ts'
import { type LabPostgres, startPostgres } from '../test/lab/postgres.ts'
import { ms, report, timed } from './report.ts'

const CREDENTIALS = Number(process.argv[2] ?? 500)
const AT_ONCE = 8
const ROUNDS = Number(process.argv[3] ?? 3)

class Floor {
  readonly #target: LabPostgres
  readonly #root: pg.Pool
  readonly #values: Map<string, string>

  constructor(target: LabPostgres, values: Map<string, string>) {
    this.#target = target
    this.#values = values
    this.#root = target.superuser.secret.revealText(
      (password) =>
        new pg.Pool({ host: target.host, port: target.port, user: target.superuser.account, password, database: 'postgres', max: AT_ONCE }),
    )
  }

  async rotate(account: string): Promise<void> {
    const old = this.#values.get(account) ?? ''
    const fresh = generatePassword()
    const value = fresh.revealText((text) => text)
    await this.#root.query(`alter role ${pg.escapeIdentifier(account)} password '${await scramSha256Verifier(fresh)}'`)
    this.#values.set(account, value)
    if (!(await this.#login(account, value))) throw new Error('the new value is refused')
    if (await this.#login(account, old)) throw new Error('the old value is accepted')
  }

  async #login(user: string, password: string): Promise<boolean> {
    const client = new pg.Client({ host: this.#target.host, port: this.#target.port, database: 'postgres', user, password })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return true
    } catch (error) {
      if ((error as { code?: string }).code === '28P01') return false
      throw error
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  async all(accounts: readonly string[]): Promise<number> {
    const queue = [...accounts]
    return timed(async () => {
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (let account = queue.pop(); account !== undefined; account = queue.pop()) await this.rotate(account)
        }),
      )
    })
  }

  close(): Promise<void> {
    return this.#root.end()
  }
}

async function engineRound(engine: Engine, names: readonly string[]): Promise<number> {
  return timed(async () => {
    const ids = await engine.rotate(names)
    await engine.finishedBatch(ids)
  })
}

async function alone(count: number, one: (index: number) => Promise<void>): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < count; i++) times.push(await timed(() => one(i)))
  return times.sort((a, b) => a - b)[Math.floor(count / 2)] ?? 0
}

async function main(): Promise<void> {
  const [target, engine] = await Promise.all([startPostgres(), Engine.start()])
  const values = new Map<string, string>()
  const accounts = Array.from({ length: CREDENTIALS }, (_, i) => `bench_${i}`)
  const floorAccounts = Array.from({ length: CREDENTIALS }, (_, i) => `floor_${i}`)
  const start = 'start-value-of-the-benchmark'
  const verifier = await scramSha256Verifier(Secret.fromText(start))
  for (const account of [...accounts, ...floorAccounts]) await target.query(`create role ${account} login password '${verifier}'`)
  for (const account of floorAccounts) values.set(account, start)
  const root = { account: target.superuser.account, secret: target.superuser.secret }
  const system = await engine.addSystem(
    'bench',
    'postgres',
    { host: target.host, port: target.port, database: 'postgres', tls: 'off' },
    root,
    AT_ONCE,
  )
  for (const account of accounts) {
    await engine.addCredential(system, { name: account, strategy: 'in-place', accounts: [account], current: Secret.fromText(start) })
  }
  const floor = new Floor(target, values)
  const ratios: number[] = []
  let [bestFloor, bestOurs] = [Infinity, Infinity]
  for (let round = 0; round < ROUNDS; round++) {
    const floorMs = await floor.all(floorAccounts)
    const oursMs = await engineRound(engine, accounts)
    ratios.push(floorMs / oursMs)
    bestFloor = Math.min(bestFloor, floorMs)
    bestOurs = Math.min(bestOurs, oursMs)
  }
  const floorAlone = await alone(30, (i) => floor.rotate(`floor_${i}`))
  const oursAlone = await alone(30, (i) => engineRound(engine, [`bench_${i}`]).then(() => undefined))
  report('rotation', {
    'floor, rotations per second': ((CREDENTIALS / bestFloor) * 1000).toFixed(1),
    'Rekey, rotations per second': ((CREDENTIALS / bestOurs) * 1000).toFixed(1),
    'ratio per round': ratios.map((ratio) => ratio.toFixed(2)).join(' '),
    'floor alone, median': ms(floorAlone),
    'Rekey alone, median': ms(oursAlone),
    'latency ratio': (oursAlone / floorAlone).toFixed(2),
  })
  await floor.close()
  await engine.stop()
  await target.stop()
}

await main()
process.exit(0)
