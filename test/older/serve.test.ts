/** Two servers of Rekey on one database of PostgreSQL 15 to 17 that is reached by TLS only. A machine without one says so. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonLines, type Served, Site } from '../e2e/kit.ts'
import { oldSecret } from '../faults/kit.yards.ts'
import { makeAuthority } from '../lab/certificates.ts'
import { type LabPostgres, olderPostgres, startPostgres } from '../lab/postgres.ts'

const CREDENTIALS = 30
const [older] = olderPostgres()
if (!older) console.warn('SKIPPED: Rekey on a database of PostgreSQL 15, 16 or 17, because none is installed')

describe.skipIf(!older)(`two servers on PostgreSQL ${older?.version ?? '15, 16 or 17'}`, () => {
  const authority = makeAuthority()
  const site = new Site()
  let lab: LabPostgres
  let base: string

  const url = (options: string, host = '127.0.0.1') => `${base.replace('127.0.0.1', host)}?${options}`
  const trusted = () => url(`sslmode=verify-full&sslrootcert=${site.path('ca.pem')}`)

  beforeAll(async () => {
    if (!older) return
    lab = await startPostgres({ programs: older.programs, fsync: false, tls: authority.issue({ hosts: ['127.0.0.1'] }) })
    const password = lab.superuser.secret.revealText((text) => text)
    base = `postgres://${lab.superuser.account}:${password}@127.0.0.1:${lab.port}/rekey`
    await lab.query('create database rekey')
    const rules = readFileSync(join(lab.folder, 'data', 'pg_hba.conf'), 'utf8')
    lab.write('data/pg_hba.conf', `hostnossl rekey all all reject\n${rules}`)
    await lab.query('select pg_reload_conf()')
    site.write('ca.pem', authority.ca)
    site.write('wrong.pem', makeAuthority().ca)
    site.write('root.secret', password)
    oldSecret().revealText((text) => site.write('old.secret', text))
  })
  afterAll(async () => {
    await site.stop()
    await lab?.stop()
  })

  test.each([
    ['without TLS', 'pg_hba.conf', () => url('sslmode=disable')],
    ['with another authority', 'CERT_SIGNATURE_FAILURE', () => url(`sslmode=verify-full&sslrootcert=${site.path('wrong.pem')}`)],
    ['with another authority under require', 'CERT_SIGNATURE_FAILURE', () => url(`sslmode=require&sslrootcert=${site.path('wrong.pem')}`)],
    ['to a database that is not there', 'does not exist', () => trusted().replace('/rekey?', '/elsewhere?')],
    [
      'by a name that the certificate does not carry',
      'ERR_TLS_CERT_ALTNAME_INVALID',
      () => url(`sslmode=verify-full&sslrootcert=${site.path('ca.pem')}`, 'localhost'),
    ],
    ['with the authorities of the machine', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', () => url('sslmode=verify-full')],
  ])('a database reached %s is refused with the reason, and nothing is made in it', async (_way, reason, how) => {
    const refused = await site.serve({ DATABASE_URL: how() })
    expect([refused.url, refused.errors()]).toEqual([null, expect.stringContaining(reason)])
    expect(refused.errors()).not.toContain(new URL(base).password)
    expect(await tables()).toBe(0)
  })

  test('both serve; what one began, the other ends when it is killed; the evidence is sound', async () => {
    const env = { DATABASE_URL: trusted() }
    const first = await site.serve(env)
    expect(first.url, first.errors()).not.toBeNull()
    const second = await site.serve(env)
    expect(second.url, second.errors()).not.toBeNull()
    await declare(first)
    const started = await site.rekey(first.url ?? '', 'rotation', 'start', '--system', 'db', '--reason', 'leaked')
    expect(started.status, started.stderr).toBe(0)
    await first.kill()
    await expect.poll(() => proven(second), { timeout: 60_000, interval: 300 }).toBe(CREDENTIALS)
    expect(await tables()).toBeGreaterThan(5)
    const tls = await lab.query("select s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid) where a.datname = 'rekey'")
    expect(new Set(tls.map((row) => JSON.stringify(row)))).toEqual(new Set(['{"ssl":true}']))
    const checked = await site.offline(env, 'fsck')
    expect([checked.status, checked.stdout], checked.stderr).toEqual([0, ''])
    const exported = await site.rekey(second.url ?? '', 'evidence', 'export', '--out', 'evidence.html')
    expect(exported.status, exported.stderr).toBe(0)
    site.write('evidence.key', (await site.rekey(second.url ?? '', 'evidence', 'key')).stdout)
    expect((await site.offline({}, 'evidence', 'verify', 'evidence.html', '--key', 'evidence.key')).status).toBe(0)
  }, 120_000)

  /** How many tables Rekey has made. */
  async function tables(): Promise<number | undefined> {
    const client = new pg.Client({ connectionString: base, ssl: { ca: authority.ca } })
    await client.connect()
    const { rows } = await client.query<{ n: number }>("select count(*)::int as n from pg_tables where schemaname = 'public'")
    await client.end()
    return rows[0]?.n
  }

  /** On the same server, in another database: an older PostgreSQL as a target too. */
  async function declare({ url: at }: Served): Promise<void> {
    const password = readFileSync(site.path('old.secret'), 'utf8')
    const credentials: string[] = []
    for (let n = 0; n < CREDENTIALS; n++) {
      await lab.query(`create role svc_${n} login password '${password}'`)
      credentials.push(
        `  - { name: c-${n}, identity: app, system: db, account: svc_${n}, strategy: in-place, current: { file: ./old.secret } }`,
      )
    }
    const address = `{ host: 127.0.0.1, port: ${lab.port}, database: postgres, tls: verify-full, caFile: ./ca.pem }`
    const root = '{ account: postgres, secret: { file: ./root.secret } }'
    const system = `  - { name: db, connector: postgres, address: ${address}, root: ${root} }`
    const identity = '  - { name: app, kind: workload, owner: team, purpose: tests, environment: test }'
    site.write('fleet.yaml', ['version: 1', 'systems:', system, 'identities:', identity, 'credentials:', ...credentials, ''].join('\n'))
    const applied = await site.rekey(at ?? '', 'apply', '-f', 'fleet.yaml', '--yes')
    expect(applied.status, applied.stderr).toBe(0)
  }

  async function proven({ url: at }: Served): Promise<number> {
    const listed = await site.rekey(at ?? '', 'rotation', 'list', '--json')
    return jsonLines(listed).filter(({ state }) => state === 'proven_dead').length
  }
})
