/** Which PostgreSQL it is, where that is not simple: revoked rights, and two servers behind one address. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAccount, type PostgresLab, startLab } from '../../../test/lab/postgres.contract.ts'
import { startProxy } from '../../../test/lab/proxy.ts'
import { makeCtx, newId, Secret } from '../../kernel/index.ts'
import { expectCode, freshSecret } from '../contract.kit.ts'
import type { KnownServer, SystemSpec, Target } from '../contract.ts'
import { postgres } from './index.ts'

const ctx = makeCtx('test', 'postgres')
let one: PostgresLab
let two: PostgresLab

beforeAll(async () => {
  ;[one, two] = await Promise.all([startLab(), startLab()])
  // So that root gets in to both: what keeps it out must be that the second is another server.
  const secret = Secret.fromText('the-same-root-value-on-both')
  await Promise.all([one.setRootSecret(secret), two.setRootSecret(secret)])
}, 60_000)
afterAll(() => Promise.all([one.stop(), two.stop()]))

async function withTarget(change: Partial<SystemSpec>, use: (target: Target) => Promise<void>): Promise<void> {
  const rootSecrets = [Secret.fromText('the-same-root-value-on-both')]
  const spec = { name: 'lab', address: one.address, rootAccount: one.root.account, rootSecrets, timeoutMs: 5000, concurrent: 4 }
  const target = postgres.open({ ...spec, ...change })
  await use(target).finally(() => target.close())
}

async function knownOne(): Promise<KnownServer> {
  let facts = {}
  await withTarget({}, async (target) => {
    facts = (await target.identify(ctx)).facts
  })
  return { facts, run: null }
}

test('two clusters have two identifiers, and a proxy that leads elsewhere is found out by root and by probes', async () => {
  const server = await knownOne()
  const account = `both_${newId().slice(-12)}`
  const secret = freshSecret()
  for (const lab of [one, two]) await createAccount(lab.server, account, secret)
  const proxy = await startProxy(one.address)
  await withTarget({ server, address: { ...one.address, port: proxy.port } }, async (target) => {
    expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'accepted', code: 'ready' })
    proxy.leadTo(two.address)
    expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code: 'other_server' })
    await expectCode(target.discover(ctx), 'target_conflict')
    proxy.leadTo(one.address)
    await target.discover(ctx)
  })
  await proxy.stop()
})

test('an account that may not ask which server it is leaves that to a root login', async () => {
  const server = await knownOne()
  await one.server.query('revoke execute on function pg_control_system() from public')
  const account = `mute_${newId().slice(-12)}`
  const secret = freshSecret()
  for (const lab of [one, two]) await createAccount(lab.server, account, secret)
  const proxy = await startProxy(one.address)
  const before = await one.countConnections()
  await withTarget({ server, address: { ...one.address, port: proxy.port } }, async (target) => {
    expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'accepted', code: 'ready' })
    await expect.poll(() => one.countConnections(), { timeout: 10_000 }).toBe(before)
    await withTarget({ server: { facts: { system_identifier: '1' }, run: null } }, async (other) => {
      expect(await other.probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code: 'other_server' })
    })
    await withTarget({ server, rootSecrets: [freshSecret()] }, async (locked) => {
      expect(await locked.probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code: 'server_not_confirmed' })
    })
  })
  await proxy.stop()
  await one.server.query('grant execute on function pg_control_system() to public')
})

test('a root connection that sees the login among its sessions knows where it is; nothing needs to be asked', async () => {
  const server = await knownOne()
  const account = `seen_${newId().slice(-12)}`
  const secret = freshSecret()
  for (const lab of [one, two]) await createAccount(lab.server, account, secret)
  await one.server.query('revoke execute on function pg_control_system() from public')
  await one.server.query("create role bare_root login password 'the-same-root-value-on-both'")
  await one.server.query('grant execute on function pg_control_system() to bare_root')
  // Neither the account nor another root login can tell where it is: only the root connection that is there.
  for (const rootAccount of [one.root.account, 'bare_root']) {
    const proxy = await startProxy(one.address)
    await withTarget({ rootAccount, server, address: { ...one.address, port: proxy.port } }, async (target) => {
      await target.discover(ctx)
      await one.server.query(`alter role ${rootAccount} password 'another-value'`)
      expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'accepted', code: 'ready' })
      proxy.leadTo(two.address)
      expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code: 'other_server' })
      await one.server.query(`alter role ${rootAccount} password 'the-same-root-value-on-both'`)
    })
    await proxy.stop()
  }
  await one.server.query('grant execute on function pg_control_system() to public')
})

test('a root that may not ask tells nothing, and is refused where a server is on record', async () => {
  const server = await knownOne()
  await one.server.query('create role small_root login createrole')
  const secret = freshSecret()
  await createAccount(one.server, 'small_app', secret)
  await one.server.query("alter role small_root password 'the-same-root-value-on-both'")
  await one.server.query('revoke execute on function pg_control_system() from public')
  await withTarget({ rootAccount: 'small_root' }, async (target) => {
    expect(await target.identify(ctx)).toEqual({ facts: {}, run: null, account: 'small_root' })
  })
  await withTarget({ rootAccount: 'small_root', server }, async (target) => {
    const error = await expectCode(target.discover(ctx), 'target_conflict')
    expect(error.message).toContain('it does not tell its system_identifier')
  })
  await one.server.query('grant execute on function pg_control_system() to public')
})
