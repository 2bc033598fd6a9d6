/** A server of somebody else at the address of one system: `rekey serve` lives on, and all other systems are served. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { oldSecret } from '../faults/kit.yards.ts'
import { BEFORE_LOGIN, startHostile } from '../lab/hostile.ts'
import type { Listener } from '../lab/ports.ts'
import { startLab } from '../lab/postgres.contract.ts'
import { jsonLines, Site } from './kit.ts'

/** Six bytes each, said before any login: the first ended the process, the second stopped its event loop for good. */
const KILLING = ['a way to log in of one byte', 'an error without end']

const site = new Site()
const old = oldSecret()
const hostile: Listener[] = []
let lab: Awaited<ReturnType<typeof startLab>>

beforeAll(async () => {
  lab = await startLab()
  await lab.createAccount('orders', old)
  old.revealText((text) => site.write('old.secret', text))
  lab.root.secret.revealText((text) => site.write('root.secret', text))
  for (const name of KILLING) hostile.push(await startHostile(BEFORE_LOGIN[name] ?? expect.fail(name)))
}, 60_000)
afterAll(async () => {
  await site.stop()
  await Promise.all([lab.stop(), ...hostile.map((each) => each.stop())])
})

function fleet(): string {
  const ports = new Map([['good', lab.address.port], ...hostile.map(({ port }, at) => [`evil-${at}`, port] as const)])
  const systems = [...ports].map(([name, port]) => {
    const address = `{ host: 127.0.0.1, port: ${port}, tls: off }`
    const root = `{ account: ${lab.root.account}, secret: { file: ./root.secret } }`
    return `  - { name: ${name}, connector: postgres, address: ${address}, root: ${root} }`
  })
  const credentials = [...ports.keys()].map((name) => {
    const consumer = `{ name: app, file: { path: ./${name}.env, key: PASSWORD }, activation: none }`
    const rest = `strategy: in-place, current: { file: ./old.secret }, consumers: [${consumer}]`
    return `  - { name: ${name}-orders, identity: app, system: ${name}, account: orders, ${rest} }`
  })
  const identity = '  - { name: app, kind: workload, owner: team, purpose: tests, environment: test }'
  return ['version: 1', 'systems:', ...systems, 'identities:', identity, 'credentials:', ...credentials, ''].join('\n')
}

test('rekey serve lives, says what is wrong there, and rotates elsewhere', { timeout: 120_000 }, async () => {
  site.write('fleet.yaml', fleet())
  const served = await site.serve()
  const url = served.url ?? expect.fail(served.errors())
  const applied = await site.rekey(url, 'apply', '-f', 'fleet.yaml', '--yes')
  expect(applied.status, applied.stderr).toBe(0)
  for (const at of KILLING.keys()) {
    const found = await site.rekey(url, 'discover', `evil-${at}`)
    expect([found.status === 0, found.stderr]).toEqual([false, expect.stringContaining('does not speak as PostgreSQL does')])
  }
  for (const at of KILLING.keys()) {
    const started = await site.rekey(url, 'rotation', 'start', `evil-${at}-orders`, '--reason', 'leaked')
    expect(started.status, started.stderr).toBe(0)
  }
  const ended = await site.rekey(url, 'rotation', 'start', 'good-orders', '--wait', '--json', '--reason', 'leaked')
  expect(jsonLines(ended), ended.stderr).toEqual([expect.objectContaining({ credential: 'good-orders', state: 'proven_dead' })])
  expect(readFileSync(site.path('good.env'), 'utf8')).toContain('PASSWORD=')
  // It is the same process that answers, and it never said that it broke.
  expect((await site.rekey(url, 'status')).status).toBe(0)
  expect(served.errors()).not.toMatch(/Error:|at .*node_modules/)
})
