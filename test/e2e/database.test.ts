/** `rekey serve` with its own database, which is killed while credentials are rotated: they end as they would have. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sleep } from '../../src/kernel/index.ts'
import { type LabPostgres, startPostgres } from '../lab/postgres.ts'
import { jsonLines, Site } from './kit.ts'

const COUNT = 60
const KILLS = 3
const accounts = Array.from({ length: COUNT }, (_, n) => `app_${n}`)
const OLD = 'old-value-before-the-rotation'

const site = new Site()
let target: LabPostgres
beforeAll(async () => {
  target = await startPostgres()
  for (const account of accounts) await target.query(`create role ${account} login password '${OLD}'`)
})
afterAll(async () => {
  await site.stop()
  await target?.stop()
})

async function isLetIn(account: string, password: string): Promise<boolean> {
  const client = new pg.Client({ host: target.host, port: target.port, user: account, password, database: 'postgres' })
  try {
    await client.connect()
    return true
  } catch (error) {
    expect((error as { code?: string }).code).toBe('28P01')
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}

const postmaster = () => Number(readFileSync(join(site.data, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])

test('the embedded database is killed again and again in the middle of rotations', { timeout: 120_000 }, async () => {
  target.superuser.secret.revealText((text) => site.write('root.secret', text))
  site.write('old.secret', OLD)
  site.write(
    'fleet.yaml',
    [
      'version: 1',
      'systems:',
      '  - name: db',
      '    connector: postgres',
      `    address: { host: ${target.host}, port: ${target.port}, database: postgres, tls: off }`,
      `    root: { account: ${target.superuser.account}, secret: { file: root.secret } }`,
      '    limits: { concurrent: 1 }',
      'identities: [{ name: app, kind: workload, owner: team, purpose: tests, environment: test }]',
      'credentials:',
      ...accounts.flatMap((name) => [
        `  - name: ${name}`,
        '    identity: app',
        '    system: db',
        `    account: ${name}`,
        '    strategy: in-place',
        '    current: { file: old.secret }',
        `    consumers: [{ name: ${name}, file: { path: ./${name}.env, key: PW }, activation: none }]`,
      ]),
    ].join('\n'),
  )
  const server = await site.serve()
  expect(server.url, server.errors()).not.toBeNull()
  const url = server.url ?? ''
  const applied = await site.rekey(url, 'apply', '-f', 'fleet.yaml', '--yes')
  expect(applied.status, applied.stderr).toBe(0)
  const started = await site.rekey(url, 'rotation', 'start', '--all', '--json')
  expect(started.status, started.stderr).toBe(0)
  const delivered = () => accounts.filter((account) => existsSync(site.path(`${account}.env`))).length
  while (delivered() === 0) await sleep(5)
  const killed = new Set<number>()
  let atFirst = 0
  while (killed.size < KILLS) {
    try {
      const pid = postmaster()
      if (!killed.has(pid)) process.kill(pid, 'SIGKILL')
      killed.add(pid)
      if (killed.size === 1) atFirst = delivered()
    } catch {
      // It is not there yet.
    }
    await sleep(700)
  }
  expect(atFirst).toBeLessThan(COUNT)
  const proven = async () => jsonLines(await site.rekey(url, 'rotation', 'list', '--state', 'proven_dead', '--json')).length
  while ((await proven()) < COUNT) await sleep(500)
  for (const account of accounts) {
    const value = /^PW=(.+)$/m.exec(readFileSync(site.path(`${account}.env`), 'utf8'))?.[1]?.replace(/^'|'$/g, '') ?? ''
    expect([account, await isLetIn(account, value), await isLetIn(account, OLD)]).toEqual([account, true, false])
  }
  expect((await site.rekey(url, 'fsck')).status).toBe(0)
})
