import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeCtx, type RekeyError, Secret } from '../kernel/index.ts'
import { allowed, permitted } from '../policy/testing.ts'
import { applyInventory, diffInventory } from './inventory.actions.ts'
import { Engine } from './testing.ts'

const ctx = makeCtx('test', 'places')
let engine: Engine
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rekey-places-'))
  mkdirSync(join(folder, 'data/deep'), { recursive: true })
  symlinkSync(join(folder, 'data/deep'), join(folder, 'door'))
  symlinkSync('/proc/self', join(folder, 'self'))
  engine = await Engine.start({ worker: false, parts: { keepOut: [join(folder, 'data'), join(folder, 'admin.token')] } })
})
afterAll(async () => {
  await engine.stop()
  rmSync(folder, { recursive: true, force: true })
})

function lineOf([name, account, path]: readonly [string, string, string]): string {
  const consumers = `[{ name: c, file: { path: ${path} }, activation: none }]`
  return `  - { name: ${name}, identity: api, system: db, account: ${account}, strategy: in-place, consumers: ${consumers} }`
}

/** One credential a line, from line 7 on: name, account, file. */
const fleet = (...credentials: readonly (readonly [string, string, string])[]) => `version: 1
systems:
  - { name: db, connector: postgres, address: { host: h, tls: off }, root: { account: rekey_root, secret: { file: ./root.secret } } }
identities:
  - { name: api, kind: workload, owner: team, purpose: serves, environment: prod }
credentials:
${credentials.map(lineOf).join('\n')}
`

async function apply(text: string): Promise<RekeyError | null> {
  const input = { text, folder }
  try {
    const { digest, needed } = await diffInventory(engine.parts, ctx, allowed(ctx, 'inventory:read'), input)
    const secrets = new Map(needed.map((one) => [one.for, Secret.fromText('value')]))
    const more = { digest, prune: false, secrets, authorities: new Map<string, string>() }
    await applyInventory(engine.parts, ctx, allowed(ctx, 'inventory:apply'), permitted(ctx), { ...input, ...more })
    return null
  } catch (error) {
    return error as RekeyError
  }
}

test("files that are Rekey's own or none at all are refused with their lines, links followed", async () => {
  const bad = [
    './data/x',
    './data',
    './door/x',
    './door/none/x',
    './admin.token',
    '/proc/self/environ',
    '/sys/x',
    '/dev/null',
    './self/comm',
    './.p.env.rekey-new',
  ]
  const good = ['./data-of-others/x', './admin.token.old', '/process/x']
  const lines = [...bad, ...good].map((path, n) => [`c-${n}`, `a_${n}`, path] as const)
  const error = await apply(fleet(...lines))
  expect(error?.code).toBe('fleet_invalid')
  expect(error?.faults?.map(({ line }) => line)).toEqual(bad.map((_, n) => 7 + n))
  expect(error?.faults?.[0]).toEqual({
    path: 'credentials[0].consumers[0].file.path',
    message: `"${folder}/data/x": it is one of Rekey's own files.`,
    line: 7,
  })
  expect(error?.faults?.[5]?.message).toBe('"/proc/self/environ": it is in /proc, where no file is kept.')
  expect(await apply(fleet(...good.map((path, n) => [`c-${n}`, `a_${n}`, path] as const)))).toBeNull()
})

test('faults that are found after parsing have the line of their item', async () => {
  const reserved = await apply(fleet(['one', 'one', './one'], ['root@db', 'two', './two']))
  expect(reserved?.faults).toMatchObject([{ line: 8, path: 'credentials[1].name' }])
  expect(await apply(fleet(['stored', 'stored', './stored']))).toBeNull()
  const account = await apply(fleet(['one', 'one', './one'], ['two', 'stored', './two']))
  expect(account?.faults).toEqual([{ path: 'stored', line: 8, message: 'The account "stored" of db is that of two already.' }])
  const file = await apply(fleet(['one', 'one', './one'], ['two', 'two', `${folder}/stored`]))
  expect(file?.faults).toMatchObject([{ path: 'c of stored', line: 8 }])
  const twice = await apply(fleet(['one', 'one', './same'], ['two', 'two', `${folder}/same`]))
  expect(twice?.faults).toMatchObject([{ path: 'c of two', line: 8, message: `The file ${folder}/same is already written for c of one.` }])
  const moved = await apply(fleet(['new', 'new', './new'], ['stored', 'other', './stored']))
  expect(moved?.faults).toMatchObject([{ path: 'stored', line: 8, message: expect.stringContaining('accounts cannot change') }])
})

test('no consumer writes the certificate authority or the root secret of a system, by whatever path', async () => {
  mkdirSync(join(folder, 'sources'), { recursive: true })
  symlinkSync(join(folder, 'sources'), join(folder, 'sources-too'))
  const text = fleet(['one', 'one', './sources-too/ca.pem'], ['two', 'two', './sources-too/root.secret'])
    .replace('tls: off', 'tls: verify-full, caFile: ./sources/ca.pem')
    .replace('./root.secret', './sources/root.secret')
  expect((await apply(text))?.faults).toMatchObject([
    { path: 'c of one', line: 7, message: expect.stringContaining('is already written for the certificate authority of db.') },
    { path: 'c of two', line: 8, message: expect.stringContaining('is already written for the root secret of db.') },
  ])
})

test('one file that two paths lead to has one writer all the same', async () => {
  mkdirSync(join(folder, 'real'), { recursive: true })
  symlinkSync(join(folder, 'real'), join(folder, 'link'))
  const twice = await apply(fleet(['one', 'one', './real/x'], ['two', 'two', './link/x']))
  expect(twice?.faults).toMatchObject([{ path: 'c of two', line: 8, message: expect.stringContaining('is already written for c of one.') }])
})
