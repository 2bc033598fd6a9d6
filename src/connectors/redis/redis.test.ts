import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { makeCtx, newId, type Secret } from '../../kernel/index.ts'
import { sha256Hex } from '../../seal/index.ts'
import { expectCode, freshSecret } from '../contract.kit.ts'
import type { SystemSpec, Target } from '../contract.ts'
import { redis } from './index.ts'
import { Link } from './link.ts'
import { createAccount, openSession, type RedisLab, startLab } from './testing.ts'

let lab: RedisLab
let target: Target
const ctx = makeCtx('test', 'redis')
const spec = (change: Partial<SystemSpec> = {}): SystemSpec => ({
  name: 'lab',
  address: lab.address,
  rootAccount: lab.root.account,
  rootSecrets: [lab.root.secret],
  timeoutMs: 5000,
  concurrent: 4,
  ...change,
})
const outcome = async (account: string, secret: Secret) => (await target.probe(ctx, account, secret)).outcome
const fresh = async (name = `r_${newId().slice(-12)}`) => {
  const secret = freshSecret()
  await createAccount(lab.server, name, secret)
  return { account: name, secret }
}
const begin = async (...args: Parameters<typeof startLab>) => {
  lab = await startLab(...args)
  target = redis.open(spec())
}

afterEach(async () => {
  await target.close()
  await lab.stop()
})

test.each(['plain', 'TLS'])('%s: a long answer comes as a list only, and one without end ends the connection', async (way) => {
  await begin()
  const authority = lab.certificates.makeAuthority()
  const served = way === 'plain' ? lab.address : await lab.serveTls(authority.issue({ hosts: ['127.0.0.1'] }))
  const address = way === 'plain' ? served : ({ ...served, tls: 'verify-full', ca: authority.ca } as const)
  const never = new AbortController().signal
  const link = await Link.open(address, 5000, never)
  await link.authenticate(never, lab.root.account, lab.root.secret)
  for (const mib of [1, 2, 12]) await lab.server.command('SET', `${mib}`, 'a'.repeat(mib * 1_000_000))
  expect(String(await link.command(never, 'GET', '1'))).toHaveLength(1_000_000)
  expect(String(await link.list(never, 'GET', '12'))).toHaveLength(12_000_000)
  await expect(link.command(never, 'GET', '2')).rejects.toHaveProperty('code', 'ANSWER_TOO_LONG')
  expect(link.dead).toBe(true)
})

test('more accounts than are asked for at once are all listed', async () => {
  await begin()
  const names = Array.from({ length: 1201 }, (_, at) => `many_${at}`)
  await Promise.all(names.map((name) => lab.server.command('ACL', 'SETUSER', name, 'on', 'nopass')))
  const found = await target.discover(ctx)
  expect(
    found
      .filter(({ name, canLogin }) => canLogin && name.startsWith('many_'))
      .map(({ name }) => name)
      .sort(),
  ).toEqual(names.sort())
})

describe.each(['aclfile', 'config'] as const)('kept in the %s', (persistence) => {
  test('both values log in after install, and over a restart; then only the kept one', async () => {
    await begin(persistence)
    const { account, secret } = await fresh()
    const next = freshSecret()
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: secret })
    await lab.server.restart()
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['accepted', 'accepted'])
    await target.retire(ctx, { account, strategy: 'dual', old: secret, keep: next })
    await lab.server.restart()
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['refused', 'accepted'])
  })

  test('a server that was killed right after the reply has not forgotten', async () => {
    await begin(persistence)
    const { account, secret } = await fresh()
    const next = freshSecret()
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: secret })
    process.kill(lab.server.pid, 'SIGKILL')
    await lab.server.restart()
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['accepted', 'accepted'])
  })
})

describe('what would not last is not installed', () => {
  test('the accounts cannot be written: the target is as before', async () => {
    await begin('none')
    const { account, secret } = await fresh()
    const next = freshSecret()
    await expectCode(target.install(ctx, { account, strategy: 'dual', secret: next, current: secret }), 'target_conflict', [next])
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['accepted', 'refused'])
  })

  test('a server that keeps its accounts nowhere is warned of before the first rotation, and others are not', async () => {
    await begin()
    expect(await target.warnings?.(ctx)).toEqual([])
    await Promise.all([target.close(), lab.stop()])
    await begin('config')
    expect(await target.warnings?.(ctx)).toEqual([])
    await Promise.all([target.close(), lab.stop()])
    await begin('nowhere')
    expect(await target.warnings?.(ctx)).toEqual([
      'This Redis forgets its accounts at a restart. No rotation can be made on it. Start it with an aclfile or a configuration file.',
    ])
  })

  test('a retirement that cannot be written fails, and succeeds when it can', async () => {
    await begin()
    const { account, secret } = await fresh()
    const next = freshSecret()
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: secret })
    // A folder in its place: the server cannot rename its new file over it, even as root.
    const file = join(lab.server.folder, 'users.acl')
    const before = readFileSync(file, 'utf8')
    rmSync(file)
    mkdirSync(file)
    const order = { account, strategy: 'dual', old: secret, keep: next } as const
    await expectCode(target.retire(ctx, order), 'target_conflict', [secret, next])
    rmSync(file, { recursive: true })
    await target.retire(ctx, order)
    expect(readFileSync(file, 'utf8')).not.toContain(sha256Hex(secret))
    expect(before).toContain(sha256Hex(secret))
  })

  test('a name that the configuration file cannot carry', async () => {
    await begin('config')
    const { account, secret } = await fresh('a"b')
    await expectCode(target.install(ctx, { account, strategy: 'dual', secret: freshSecret(), current: secret }), 'target_unsupported')
    expect(await outcome(account, secret)).toBe('accepted')
  })
})

describe('accounts', () => {
  test('nopass is not believed, not installed to, and said so', async () => {
    await begin()
    const { account, secret } = await fresh()
    await lab.server.command('ACL', 'SETUSER', account, 'nopass')
    expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code: 'any_password_accepted' })
    await expectCode(target.install(ctx, { account, strategy: 'dual', secret: freshSecret(), current: null }), 'target_conflict')
    expect(await target.probe(ctx, account, freshSecret())).toEqual({ outcome: 'inconclusive', code: 'any_password_accepted' })
  })

  test('one that is off is not installed to', async () => {
    await begin()
    const { account, secret } = await fresh()
    await lab.server.command('ACL', 'SETUSER', account, 'off')
    await expectCode(target.install(ctx, { account, strategy: 'dual', secret: freshSecret(), current: secret }), 'target_conflict')
    expect(await target.discover(ctx)).toContainEqual({ name: account, canLogin: false })
    expect(await target.discover(ctx)).toContainEqual({ name: 'default', canLogin: false })
  })

  test('one without any right is accepted all the same', async () => {
    await begin()
    const { account, secret } = await fresh()
    await lab.server.command('ACL', 'SETUSER', account, 'nocommands', 'resetkeys')
    expect(await outcome(account, secret)).toBe('accepted')
    expect(await target.listGrants(ctx, account)).toEqual(['commands -@all'])
  })

  test('a takeover leaves only the kept value, and the last is never taken', async () => {
    await begin()
    const { account, secret } = await fresh()
    const [more, next] = [freshSecret(), freshSecret()]
    await lab.server.command('ACL', 'SETUSER', account, `#${sha256Hex(more)}`)
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: null })
    await expectCode(target.retire(ctx, { account, strategy: 'dual', old: null, keep: freshSecret() }), 'target_conflict')
    await target.retire(ctx, { account, strategy: 'dual', old: null, keep: next })
    expect(await Promise.all([secret, more, next].map((value) => outcome(account, value)))).toEqual(['refused', 'refused', 'accepted'])
    await expectCode(target.retire(ctx, { account, strategy: 'dual', old: next, keep: null }), 'target_conflict')
    await expectCode(target.retire(ctx, { account, strategy: 'dual', old: null, keep: null }), 'target_conflict')
    expect(await outcome(account, next)).toBe('accepted')
  })

  test('root without the right to save or to look is not authorised, and nothing stays half done', async () => {
    await begin()
    const { account, secret } = await fresh()
    const weak = { account: 'weak', secret: freshSecret() }
    await lab.server.command('ACL', 'SETUSER', weak.account, 'on', `#${sha256Hex(weak.secret)}`, '+@all', '-acl|save', '-client|list')
    const other = redis.open(spec({ rootAccount: weak.account, rootSecrets: [weak.secret] }))
    const next = freshSecret()
    try {
      await expectCode(other.install(ctx, { account, strategy: 'dual', secret: next, current: secret }), 'target_not_authorised', [
        weak.secret,
      ])
      await expectCode(other.sessions(ctx, account), 'target_not_authorised', [weak.secret])
      expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['accepted', 'refused'])
    } finally {
      await other.close()
    }
  })
})

test('a full server answers nothing about the value', async () => {
  await begin()
  const { account, secret } = await fresh()
  await lab.server.command('CONFIG', 'SET', 'maxclients', '1')
  const probe = await target.probe(ctx, account, secret)
  // The server closes at once: its last words may or may not arrive.
  expect(['inconclusive', 'unreachable']).toContain(probe.outcome)
  await expectCode(target.discover(ctx), 'target_unreachable')
  await lab.server.command('CONFIG', 'SET', 'maxclients', '100')
  expect(await outcome(account, secret)).toBe('accepted')
})

test('after a restart a mark means nothing: no session proves anything, and all are ended', async () => {
  await begin()
  const { account, secret } = await fresh()
  const { mark } = await target.install(ctx, { account, strategy: 'dual', secret, current: secret })
  await lab.server.restart()
  const session = await openSession(lab.server, account, secret, 'app')
  expect(await target.sessions(ctx, account, { after: mark })).toEqual([])
  expect(await target.sessions(ctx, account, { before: mark })).toMatchObject([{ application: 'app' }])
  expect(await target.endSessions(ctx, account, mark)).toBe(1)
  expect(await session.alive()).toBe(false)
  await session.close()
})

test('a paused server is unreachable, and used again when it goes on', async () => {
  await begin()
  const { account, secret } = await fresh()
  const quick = redis.open(spec({ timeoutMs: 300 }))
  await quick.discover(ctx)
  lab.server.pause()
  await expectCode(quick.discover(ctx), 'target_unreachable')
  expect((await quick.probe(ctx, account, secret)).outcome).toBe('unreachable')
  lab.server.resume()
  await quick.discover(ctx)
  await quick.close()
})

describe('accounts that stand elsewhere than in the configuration file', () => {
  const inBegin = async (included: string, line = (path: string) => `include ${path}`) => {
    await begin('config')
    const path = lab.server.write('more.conf', `# included\nmaxclients 500\n${included}\n`)
    const conf = join(lab.server.folder, 'redis.conf')
    // Under the name of the server's user, which CONFIG REWRITE needs.
    lab.server.write('redis.conf', `${line(path)}\n${readFileSync(conf, 'utf8')}`)
    await lab.server.command('CONFIG', 'REWRITE')
    await lab.server.restart()
  }
  const order = async () => {
    const { account, secret } = await fresh()
    return { account, secret, move: { account, strategy: 'dual', secret: freshSecret(), current: secret } as const }
  }

  test.each([
    ['an account in an included file', (path: string) => `include ${path}`],
    ['in quotes and other letters', (path: string) => `  INCLUDE  "${path}"`],
    ['by a pattern', (path: string) => `include ${path.replace('more.conf', 'mor?.*')}`],
  ])('%s: nothing is changed, and discover says why', async (_what, line) => {
    await inBegin('user included on nopass ~* +get', line)
    const { account, secret, move } = await order()
    const error = await expectCode(target.install(ctx, move), 'target_unsupported', [move.secret])
    expect(error.hint).toContain('aclfile')
    expect(await target.warnings?.(ctx)).toEqual([expect.stringContaining('would not start again')])
    await expectCode(target.retire(ctx, { account, strategy: 'dual', old: secret, keep: move.secret }), 'target_unsupported')
    expect([await outcome(account, secret), await outcome(account, move.secret)]).toEqual(['accepted', 'refused'])
    // What it is kept from: the server's own command, after which it does not start.
    await lab.server.command('CONFIG', 'REWRITE')
    await expect(lab.server.restart()).rejects.toThrow()
  })

  test('an included file without accounts is no hindrance, and the server starts again', async () => {
    await inBegin('# user commented on nopass')
    const { account, secret, move } = await order()
    await target.install(ctx, move)
    await lab.server.restart()
    expect([await outcome(account, secret), await outcome(account, move.secret)]).toEqual(['accepted', 'accepted'])
    expect(await target.warnings?.(ctx)).toEqual([])
  })
})
