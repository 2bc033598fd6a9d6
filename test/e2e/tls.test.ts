/**
 * A rotation on each system from the fleet file to the proof, where the system takes TLS only and its authority is a private one. A
 * system that is not installed is named by `availableKinds`.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ContractLab } from '../../src/connectors/contract.kit.ts'
import { startLab as startMariadb } from '../../src/connectors/mariadb/testing.ts'
import { startLab as startRedis } from '../../src/connectors/redis/testing.ts'
import { makeCtx, Secret } from '../../src/kernel/index.ts'
import { availableKinds, oldSecret, type SystemKind } from '../faults/kit.yards.ts'
import { makeAuthority } from '../lab/certificates.ts'
import { startLab as startPostgres } from '../lab/postgres.contract.ts'
import { jsonLines, type Served, Site } from './kit.ts'

const ACCOUNT = 'orders'
const AUTHORITY = makeAuthority()
/** For the name by which the fleet file knows the systems, and not for their address. */
const SERVER = AUTHORITY.issue({ hosts: ['localhost'] })

interface Place {
  readonly lab: ContractLab
  readonly port: number
  /** From here on the account and root are let in over TLS only. */
  lockPlain(): Promise<unknown>
}

const MAKERS: Readonly<Record<SystemKind, () => Promise<Place>>> = {
  async postgres() {
    const lab = await startPostgres()
    const { port } = await lab.serveTls(SERVER)
    return {
      lab,
      port,
      lockPlain() {
        const rules = readFileSync(join(lab.server.folder, 'data', 'pg_hba.conf'), 'utf8')
        lab.server.write('data/pg_hba.conf', `hostnossl all ${lab.root.account},${ACCOUNT} all reject\n${rules}`)
        return lab.server.query('SELECT pg_reload_conf()')
      },
    }
  },
  async mariadb() {
    const lab = await startMariadb()
    const { port } = await lab.serveTls(SERVER)
    return { lab, port, lockPlain: () => lab.server.query(`ALTER USER ${lab.root.account}, ${ACCOUNT} REQUIRE SSL`) }
  },
  async redis() {
    const lab = await startRedis()
    // A port of its own, where nothing but TLS is spoken.
    return { lab, port: (await lab.serveTls(SERVER)).port, lockPlain: async () => undefined }
  },
}

const ctx = makeCtx('test', 'tls')
const kinds = availableKinds()
const old = oldSecret()
const site = new Site()
const places = new Map<SystemKind, Place>()
let rekey: Served

beforeAll(async () => {
  await Promise.all(kinds.map(async (kind) => void places.set(kind, await MAKERS[kind]())))
  site.write('ca.pem', AUTHORITY.ca)
  site.write('wrong.pem', makeAuthority().ca)
  old.revealText((text) => site.write('old.secret', text))
  for (const [kind, { lab, lockPlain }] of places) {
    lab.root.secret.revealText((text) => site.write(`${kind}.root`, text))
    await lab.createAccount(ACCOUNT, old)
    await lockPlain()
  }
  rekey = await site.serve()
  expect(rekey.url, rekey.errors()).not.toBeNull()
})
afterAll(async () => {
  await site.stop()
  await Promise.all([...places.values()].map(({ lab }) => lab.stop()))
})

const STRATEGY: Readonly<Record<SystemKind, string>> = { postgres: 'in-place', mariadb: 'dual', redis: 'dual' }

function fleet(change: { tls?: string; caFile?: string } = {}): string {
  const { tls = 'verify-full', caFile = 'ca.pem' } = change
  const systems = [...places].map(([kind, { port, lab }]) => {
    const address = `{ host: localhost, port: ${port}, tls: ${tls}, caFile: ./${caFile} }`
    const root = `{ account: ${lab.root.account}, secret: { file: ./${kind}.root } }`
    return `  - { name: ${kind}, connector: ${kind}, address: ${address}, root: ${root} }`
  })
  const credentials = [...places.keys()].map((kind) => {
    const consumer = `{ name: app, file: { path: ./${kind}.env, key: PASSWORD }, activation: none }`
    const rest = `strategy: ${STRATEGY[kind]}, current: { file: ./old.secret }, consumers: [${consumer}]`
    return `  - { name: ${kind}-orders, identity: app, system: ${kind}, account: ${ACCOUNT}, ${rest} }`
  })
  const identity = '  - { name: app, kind: workload, owner: team, purpose: tests, environment: test }'
  return ['version: 1', 'systems:', ...systems, 'identities:', identity, 'credentials:', ...credentials, ''].join('\n')
}

async function apply(text: string): Promise<void> {
  site.write('fleet.yaml', text)
  const applied = await site.rekey(rekey.url ?? '', 'apply', '-f', 'fleet.yaml', '--yes')
  expect(applied.status, applied.stderr).toBe(0)
}

/** Whether the value that a consumer would read is let in over TLS, by the connector's own probe. */
async function outcome(kind: SystemKind, secret: Secret): Promise<string> {
  const { lab, port } = places.get(kind) ?? expect.fail(kind)
  const address = { host: 'localhost', port, tls: 'verify-full', ca: AUTHORITY.ca } as const
  const spec = { name: kind, address, rootAccount: lab.root.account, rootSecrets: [lab.root.secret], timeoutMs: 5000, concurrent: 1 }
  const target = lab.connector.open(spec)
  const probe = await target.probe(ctx, ACCOUNT, secret)
  await target.close()
  return probe.outcome
}

test.each(kinds)('%s: an authority that did not sign the certificate stops everything before the target is touched', async (kind) => {
  await apply(fleet({ caFile: 'wrong.pem' }))
  const found = await site.rekey(rekey.url ?? '', 'discover', kind)
  expect(found.status).not.toBe(0)
  expect(found.stderr).toMatch(/^rekey: The certificate of \w+ is not trusted: CERT_SIGNATURE_FAILURE\.$/m)
  expect(await outcome(kind, old)).toBe('accepted')
})

test.each(['require', 'verify-full'])('rotated and proven dead over %s, with the evidence sound', async (tls) => {
  await apply(fleet({ tls }))
  const ended = await site.rekey(rekey.url ?? '', 'rotation', 'start', '--all', '--wait', '--json', '--reason', 'leaked')
  const states = jsonLines(ended).map(({ credential, state, reason }) => [credential, state, reason])
  expect(states.sort(), ended.stderr).toEqual(kinds.map((kind) => [`${kind}-orders`, 'proven_dead', null]).sort())
  for (const kind of kinds) {
    const [, written = ''] = /^PASSWORD='?([^'\n]+)/m.exec(readFileSync(site.path(`${kind}.env`), 'utf8')) ?? []
    expect([kind, await outcome(kind, Secret.fromText(written)), await outcome(kind, old)]).toEqual([kind, 'accepted', 'refused'])
  }
  const checked = await site.rekey(rekey.url ?? '', 'fsck')
  expect([checked.status, checked.stdout], checked.stderr).toEqual([0, ''])
})
