/** A server that knows no secret gets neither root's trust nor a proof, whatever it says. The real ones are beside it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { makeAuthority } from '../../../test/lab/certificates.ts'
import { type Impostor, type ImpostorLogin, type ImpostorOptions, startImpostor } from '../../../test/lab/impostor.ts'
import { letIn, logInByMd5, type PostgresLab, startLab } from '../../../test/lab/postgres.contract.ts'
import { startProxy } from '../../../test/lab/proxy.ts'
import { makeCtx, newId } from '../../kernel/index.ts'
import { expectCode, freshSecret } from '../contract.kit.ts'
import type { Address, SystemSpec, Target } from '../contract.ts'
import { postgres } from './index.ts'

const ctx = makeCtx('test', 'impostor')
const IDENTIFIER = '7000000000000000001'
const closing: (() => Promise<unknown>)[] = []
let lab: PostgresLab

beforeAll(async () => {
  lab = await startLab()
}, 60_000)
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})
afterAll(() => lab.stop())

const NOWHERE: Address = { host: '127.0.0.1', port: 1, tls: 'off' }

function open(change: Partial<SystemSpec>): Target {
  const spec = {
    name: 'x',
    address: NOWHERE,
    rootAccount: lab.root.account,
    rootSecrets: [lab.root.secret],
    timeoutMs: 3000,
    concurrent: 2,
  }
  const target = postgres.open({ ...spec, ...change })
  closing.push(() => target.close())
  return target
}

async function impostor(rootLogin: ImpostorLogin, more: Partial<ImpostorOptions> = {}): Promise<Impostor> {
  const made = await startImpostor({ root: lab.root.account, rootLogin, accounts: 'scram', systemIdentifier: IDENTIFIER, ...more })
  closing.push(() => made.stop())
  return made
}

const server = { facts: { system_identifier: IDENTIFIER }, run: null }
const at = (port: number, way: Partial<Address> = {}): Address => ({ ...NOWHERE, port, ...way })

describe('root is not believed to be in by a server that showed nothing, and nothing is said there', () => {
  test.each(['cut', 'md5', 'trust'] as const)('%s', async (rootLogin) => {
    const fake = await impostor(rootLogin)
    const [account, next] = ['svc', freshSecret()]
    const target = open({ address: at(fake.port), server })
    const error = await expectCode(target.install(ctx, { account, strategy: 'in-place', secret: next, current: null }), 'target_conflict', [
      next,
      lab.root.secret,
    ])
    expect(error.detail).toBe('SERVER_NOT_PROVEN')
    expect(error.hint).toMatch(/scram-sha-256.*verify-full/s)
    await expectCode(target.discover(ctx), 'target_conflict')
    await expectCode(target.identify(ctx), 'target_conflict')
    expect(fake.statements).toEqual([])
  })

  test('a certificate of the named authority, but of another host, is not enough under require', async () => {
    const authority = makeAuthority()
    const tls = authority.issue({ hosts: ['elsewhere.test'] })
    const fake = await impostor('trust', { tls })
    for (const ca of [undefined, authority.ca]) {
      const target = open({ address: at(fake.port, { tls: 'require', ...(ca ? { ca } : {}) }) })
      expect((await expectCode(target.discover(ctx), 'target_conflict')).detail).toBe('SERVER_NOT_PROVEN')
    }
    const verified = open({ address: at(fake.port, { tls: 'verify-full', ca: authority.ca }) })
    await expectCode(verified.discover(ctx), 'target_unreachable')
    expect(fake.statements).toEqual([])
  })

  test('under verify-full the certificate is the proof, but a SCRAM that began must end', async () => {
    const authority = makeAuthority()
    const tls = authority.issue({ hosts: ['127.0.0.1'] })
    const own = { tls: 'verify-full', ca: authority.ca } as const
    for (const rootLogin of ['trust', 'md5'] as const) {
      const { port } = await impostor(rootLogin, { tls })
      expect((await open({ address: at(port, own) }).identify(ctx)).facts).toEqual(server.facts)
    }
    const { port } = await impostor('cut', { tls })
    await expectCode(open({ address: at(port, own) }).discover(ctx), 'target_conflict')
  })
})

describe('an accepted login counts only of a server that showed something', () => {
  test('an impostor that lets every second MD5 login in proves nothing, whoever leads there', async () => {
    const fake = await impostor('trust', { accounts: 'md5' })
    const secret = freshSecret()
    const target = open({ address: at(fake.port), server })
    expect(await target.probe(ctx, 'svc', secret)).toEqual({ outcome: 'refused', code: '28P01' })
    expect(await target.probe(ctx, 'svc', secret)).toEqual({ outcome: 'inconclusive', code: 'server_not_proven' })
    expect(fake.statements).toEqual([])
  })

  test('nor does one that names the process of somebody else on the real server, where root is', async () => {
    const thief = { account: `thief_${newId().slice(-12)}`, secret: freshSecret() }
    await lab.createAccount(thief.account, thief.secret)
    const fake = await impostor('trust', { accounts: 'md5' })
    const proxy = await startProxy(lab.address)
    closing.push(() => proxy.stop())
    const target = open({ address: at(proxy.port) })
    await target.discover(ctx)
    // Logins of probes go to the impostor, which tells the process and the name of a session that the thief has opened on the real one.
    fake.onLogin = async (application) => {
      const session = await lab.openSession(thief.account, thief.secret, application)
      closing.push(() => session.close())
      const [row] = await lab.server.query<{ pid: number }>('SELECT pid FROM pg_stat_activity WHERE application_name = $1', [application])
      return row?.pid ?? 0
    }
    proxy.leadTo({ host: '127.0.0.1', port: fake.port })
    await target.probe(ctx, 'svc', freshSecret())
    expect(await target.probe(ctx, 'svc', freshSecret())).toEqual({ outcome: 'inconclusive', code: 'server_not_proven' })
  })

  test('a real MD5 login counts if root sees it, and not if root is no help', async () => {
    const [account, secret] = [`md5_${newId().slice(-12)}`, freshSecret()]
    await lab.createAccount(account, secret)
    const end = await logInByMd5(lab.server, account, secret)
    closing.push(end)
    const target = open({ address: lab.address })
    expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'accepted', code: 'ready' })
    expect(await target.probe(ctx, account, freshSecret())).toEqual({ outcome: 'refused', code: '28P01' })
    const known = { facts: (await target.identify(ctx)).facts, run: null }
    expect(await open({ address: lab.address, server: known }).probe(ctx, account, secret)).toEqual({ outcome: 'accepted', code: 'ready' })
    const elsewhere = await open({ address: lab.address, server }).probe(ctx, account, secret)
    expect(elsewhere).toEqual({ outcome: 'inconclusive', code: 'other_server' })
    const locked = await open({ address: lab.address, rootSecrets: [freshSecret()] }).probe(ctx, account, secret)
    expect(locked).toEqual({ outcome: 'inconclusive', code: 'server_not_proven' })
    const next = freshSecret()
    await target.install(ctx, { account, strategy: 'in-place', secret: next, current: secret })
    expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'refused', code: '28P01' })
    expect(await target.probe(ctx, account, next)).toEqual({ outcome: 'accepted', code: 'ready' })
  })

  test('a checked certificate is enough for an MD5 login, without root', async () => {
    const authority = makeAuthority()
    const { port } = await impostor('trust', { accounts: 'md5', tls: authority.issue({ hosts: ['127.0.0.1'] }) })
    const secret = freshSecret()
    for (const [tls, outcome] of [
      ['require', 'inconclusive'],
      ['verify-full', 'accepted'],
    ] as const) {
      const target = open({ address: at(port, { tls, ca: authority.ca }), rootSecrets: [] })
      await target.probe(ctx, 'svc', secret)
      expect((await target.probe(ctx, 'svc', secret)).outcome).toBe(outcome)
    }
  })
})

describe('a real server', () => {
  test('that lets root in without a password is refused over an open channel, and taken over verify-full', async () => {
    const { account } = lab.root
    const certificates = makeAuthority()
    const served = await lab.serveTls(certificates.issue({ hosts: ['127.0.0.1'] }))
    const end = await letIn(lab.server, account)
    try {
      await expectCode(open({ address: served }).discover(ctx), 'target_conflict')
      const { length } = await open({ address: { ...served, tls: 'verify-full', ca: certificates.ca } }).discover(ctx)
      expect(length).toBeGreaterThan(1)
    } finally {
      await end()
    }
    expect((await open({ address: served }).discover(ctx)).length).toBeGreaterThan(1)
  })

  test('whose root has an MD5 hash is refused until its value is set again', async () => {
    const root = { account: `root_${newId().slice(-12)}`, secret: freshSecret() }
    await lab.createAccount(root.account, root.secret)
    await lab.server.query(`ALTER ROLE ${root.account} SUPERUSER`)
    const end = await logInByMd5(lab.server, root.account, root.secret)
    const target = open({ address: lab.address, rootAccount: root.account, rootSecrets: [root.secret] })
    try {
      expect((await expectCode(target.discover(ctx), 'target_conflict')).detail).toBe('SERVER_NOT_PROVEN')
    } finally {
      await end()
    }
    await lab.server.query(root.secret.revealText((text) => `ALTER ROLE ${root.account} PASSWORD '${text}'`))
    expect((await target.discover(ctx)).length).toBeGreaterThan(1)
  })
})
