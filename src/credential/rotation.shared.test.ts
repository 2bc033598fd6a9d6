import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type LabPostgres, startPostgres } from '../../test/lab/postgres.ts'
import { Secret } from '../kernel/index.ts'
import { Engine } from './testing.ts'

const ROUNDS = 4
/** Half of them reach the file by its folder, half by a link to that. */
const WRITERS = 6
/** So large that writing it takes long: whoever does not wait for the others then loses what they wrote. */
const REST = `# ${'x'.repeat(97)}\n`.repeat(8_000)

let target: LabPostgres
let engine: Engine
beforeAll(async () => {
  ;[target, engine] = await Promise.all([startPostgres({ fsync: false }), Engine.start()])
  // A second process, as far as locks are concerned: another claim, another connection.
  await engine.addWorker()
})
afterAll(async () => {
  await engine.stop()
  await target.stop()
})

async function accepts(user: string, password: string): Promise<boolean> {
  const client = new pg.Client({ host: target.host, port: target.port, database: 'postgres', user, password })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

test('rotations that write into one file at once by two paths, one through a linked folder, lose nothing of each other', async () => {
  const folder = join(engine.folder, 'consumers')
  mkdirSync(folder)
  symlinkSync(folder, join(engine.folder, 'link'))
  const file = join(folder, 'shared.env')
  const system = await engine.addSystem(
    'db',
    'postgres',
    { host: target.host, port: target.port, database: 'postgres', tls: 'off' },
    { account: target.superuser.account, secret: target.superuser.secret },
  )
  const names = Array.from({ length: WRITERS }, (_, n) => `writer_${n}`)
  for (const [n, name] of names.entries()) {
    await target.query(`create role ${name} login password 'old-value'`)
    const path = join(engine.folder, n % 2 === 0 ? 'consumers' : 'link', 'shared.env')
    const consumers = [{ name, path, key: `KEY_${n}`, activation: 'none' as const }]
    await engine.addCredential(system, { name, strategy: 'in-place', accounts: [name], current: Secret.fromText('old-value'), consumers })
  }
  const keys = names.map((_, n) => `KEY_${n}=old-value\n`).join('')
  writeFileSync(file, `FIRST=1\n${keys}${REST}LAST=2\n`, { mode: 0o600 })
  for (let round = 1; round <= ROUNDS; round++) {
    const ended = await Promise.all((await engine.rotate(names)).map((id) => engine.finished(id, 90_000)))
    expect(ended.map(({ state, newVersion }) => `${state} ${newVersion}`)).toEqual(names.map(() => `proven_dead ${round + 1}`))
    const text = readFileSync(file, 'utf8')
    const values = [...text.matchAll(/^KEY_(\d)=(.+)$/gm)]
    expect(values.map(([, n]) => n)).toEqual(names.map((_, n) => String(n)))
    expect(text.replaceAll(/^KEY_\d=.+\n/gm, '')).toBe(`FIRST=1\n${REST}LAST=2\n`)
    for (const [, n, value = ''] of values) expect(await accepts(`writer_${n}`, value), `KEY_${n} in round ${round}`).toBe(true)
  }
}, 300_000)
