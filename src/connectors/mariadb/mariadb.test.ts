import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCtx, newId, type Secret, sleep } from '../../kernel/index.ts'
import { mysqlNativeHash } from '../../seal/index.ts'
import { expectCode, freshSecret } from '../contract.kit.ts'
import type { SystemSpec, Target } from '../contract.ts'
import { mariadb } from './index.ts'
import { Link } from './link.ts'
import { createAccount, type MariadbLab, openSession, startLab } from './testing.ts'

let lab: MariadbLab
let target: Target
const ctx = makeCtx('test', 'mariadb')
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
const fresh = async (name = `m_${newId().slice(-12)}`) => {
  const secret = freshSecret()
  await createAccount(lab.server, name, secret)
  return { account: name, secret }
}
const ways = async (account: string) => (await lab.server.query<Record<string, string>>(`SHOW CREATE USER \`${account}\``))[0] ?? {}

beforeAll(async () => {
  lab = await startLab()
  target = mariadb.open(spec())
}, 60_000)
afterAll(async () => {
  await target?.close()
  await lab?.stop()
}, 30_000)

test.each(['plain', 'TLS'])('%s: a long answer comes as a list only, and one without end ends the connection', async (way) => {
  const authority = lab.certificates.makeAuthority()
  const served = way === 'plain' ? lab.address : await lab.serveTls(authority.issue({ hosts: ['127.0.0.1'] }))
  const address = way === 'plain' ? served : ({ ...served, tls: 'verify-full', ca: authority.ca } as const)
  const never = new AbortController().signal
  const link = await Link.open(address, lab.root.account.split('@')[0] ?? '', lab.root.secret, never)
  const text = (mib: number) => `SELECT REPEAT('a', ${mib * 1_000_000}) AS a`
  expect((await link.query<{ a: string }>(never, ['a'], text(1)))[0]?.a).toHaveLength(1_000_000)
  expect((await link.list<{ a: string }>(never, ['a'], text(12)))[0]?.a).toHaveLength(12_000_000)
  await expect(link.query(never, ['a'], text(2))).rejects.toHaveProperty('code', 'ANSWER_TOO_LONG')
  expect(link.dead).toBe(true)
})

describe('dual', () => {
  test('both values log in after install, and over a restart; then only the kept one', async () => {
    const { account, secret } = await fresh()
    const next = freshSecret()
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: secret })
    await lab.server.restart()
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['accepted', 'accepted'])
    await target.retire(ctx, { account, strategy: 'dual', old: secret, keep: next })
    await lab.server.restart()
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['refused', 'accepted'])
  }, 30_000)

  test('a wrongly declared current value does not displace the real one', async () => {
    const { account, secret } = await fresh()
    const [next, declared] = [freshSecret(), freshSecret()]
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: declared })
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['accepted', 'accepted'])
    expect(await outcome(account, declared)).toBe('refused')
  })

  test('undoing a takeover takes only the new value away, and refuses to take the last', async () => {
    const { account, secret } = await fresh()
    const next = freshSecret()
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: null })
    for (let again = 0; again < 2; again++) await target.retire(ctx, { account, strategy: 'dual', old: next, keep: null })
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['accepted', 'refused'])
    await expectCode(target.retire(ctx, { account, strategy: 'dual', old: secret, keep: null }), 'target_conflict', [secret])
    await expectCode(target.retire(ctx, { account, strategy: 'dual', old: null, keep: null }), 'target_conflict')
    expect(await outcome(account, secret)).toBe('accepted')
  })

  test('a known value is taken away alone: retired or undone, other ways to log in stay', async () => {
    const { account, secret } = await fresh()
    const next = freshSecret()
    const others = `mysql_native_password USING '${mysqlNativeHash(freshSecret())}' OR unix_socket`
    await lab.server.query(`ALTER USER ${account} IDENTIFIED VIA mysql_native_password USING '${mysqlNativeHash(secret)}' OR ${others}`)
    const before = Object.values(await ways(account))[0]
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: secret })
    // Undo: the new value goes, the old one is kept.
    await target.retire(ctx, { account, strategy: 'dual', old: next, keep: secret })
    expect(Object.values(await ways(account))[0]).toBe(before)
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: secret })
    await target.retire(ctx, { account, strategy: 'dual', old: secret, keep: next })
    expect(Object.values(await ways(account))[0]).toBe(before?.replace(mysqlNativeHash(secret), mysqlNativeHash(next)))
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['refused', 'accepted'])
  })

  test('the value to keep is put back if the account lost it', async () => {
    const { account, secret } = await fresh()
    const next = freshSecret()
    await target.retire(ctx, { account, strategy: 'dual', old: secret, keep: next })
    expect([await outcome(account, secret), await outcome(account, next)]).toEqual(['refused', 'accepted'])
  })

  test('a root that may not read how an account logs in changes nothing: a way that it cannot see would be lost', async () => {
    const { account, secret } = await fresh()
    const next = freshSecret()
    const blind = await fresh()
    await lab.server.query(`GRANT CREATE USER ON *.* TO ${blind.account}`)
    const weak = mariadb.open(spec({ rootAccount: blind.account, rootSecrets: [blind.secret] }))
    try {
      const before = Object.values(await ways(account))[0]
      await expectCode(weak.install(ctx, { account, strategy: 'dual', secret: next, current: secret }), 'target_conflict', [secret, next])
      await expectCode(weak.retire(ctx, { account, strategy: 'dual', old: secret, keep: next }), 'target_conflict', [secret, next])
      expect(Object.values(await ways(account))[0]).toBe(before)
    } finally {
      await weak.close()
    }
  })

  test('other ways to log in, TLS rules and limits are kept by install, and only the value by retire', async () => {
    const { account } = await fresh()
    const next = freshSecret()
    await lab.server.query(`ALTER USER ${account} IDENTIFIED VIA unix_socket USING 'o''dd\\\\' REQUIRE NONE WITH MAX_USER_CONNECTIONS 7`)
    await target.install(ctx, { account, strategy: 'dual', secret: next, current: null })
    const hash = mysqlNativeHash(next)
    expect(Object.values(await ways(account))[0]).toMatch(
      /VIA mysql_native_password USING '\*\w+' OR unix_socket USING .* MAX_USER_CONNECTIONS 7/,
    )
    expect(await outcome(account, next)).toBe('accepted')
    await target.retire(ctx, { account, strategy: 'dual', old: null, keep: next })
    expect(Object.values(await ways(account))[0]).toContain(`IDENTIFIED BY PASSWORD '${hash}' WITH MAX_USER_CONNECTIONS 7`)
  })
})

describe('what a probe must not believe', () => {
  test('another account of the same user name that is more specific for our host', async () => {
    const { account, secret } = await fresh()
    await createAccount(lab.server, `${account}@localhost`, secret)
    expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code: 'other_account_matched' })
    expect(await target.probe(ctx, `${account}@localhost`, secret)).toEqual({ outcome: 'accepted', code: 'ok' })
  })

  test('a locked account says so under its own name', async () => {
    const { account, secret } = await fresh()
    await lab.server.query(`ALTER USER ${account} ACCOUNT LOCK`)
    expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code: 'ER_ACCOUNT_HAS_BEEN_LOCKED' })
    expect((await target.discover(ctx)).find((each) => each.name === account)).toEqual({ name: account, canLogin: false })
  })

  test('a refusal by an account whose last way has no password', async () => {
    const { account, secret } = await fresh()
    await lab.server.query(`ALTER USER ${account} IDENTIFIED VIA mysql_native_password USING '${mysqlNativeHash(secret)}' OR unix_socket`)
    expect((await target.probe(ctx, account, freshSecret())).outcome).toBe('refused')
    expect((await target.probe(ctx, account, secret)).outcome).toBe('accepted')
  })

  test('a server that lets everybody in', async () => {
    const { account, secret } = await fresh()
    await lab.server.restart(['--skip-grant-tables', '--bind-address=127.0.0.1'])
    const probe = await target.probe(ctx, account, secret)
    await lab.server.restart()
    expect(probe.outcome).toBe('inconclusive')
    expect(await outcome(account, secret)).toBe('accepted')
  }, 30_000)
})

describe('sessions', () => {
  test('without the right to see all sessions nothing is claimed', async () => {
    const blind = await fresh()
    await lab.server.query(`GRANT CREATE USER ON *.* TO ${blind.account}`)
    await lab.server.query(`GRANT SELECT ON mysql.* TO ${blind.account}`)
    const weak = mariadb.open(spec({ rootAccount: blind.account, rootSecrets: [blind.secret] }))
    try {
      await expectCode(weak.sessions(ctx, 'anyone'), 'target_not_authorised', [blind.secret])
      await expectCode(weak.endSessions(ctx, 'anyone'), 'target_not_authorised', [blind.secret])
    } finally {
      await weak.close()
    }
  })

  test('a session that may belong to another account of that user name proves nothing, but is ended', async () => {
    const { account, secret } = await fresh()
    // Its own: restarts of earlier tests within one second are faster than the server's start times can tell.
    const fresher = mariadb.open(spec())
    await createAccount(lab.server, `${account}@local%`, freshSecret())
    await lab.server.query(`DROP USER ${account}`)
    await createAccount(lab.server, `${account}@127.0.%`, secret)
    const { mark } = await fresher.install(ctx, { account: `${account}@127.0.%`, strategy: 'in-place', secret, current: null })
    const session = await openSession(lab.server, account, secret)
    expect(await fresher.sessions(ctx, `${account}@127.0.%`, { after: mark })).toEqual([])
    expect(await fresher.sessions(ctx, `${account}@127.0.%`)).toHaveLength(1)
    expect(await fresher.endSessions(ctx, `${account}@127.0.%`)).toBe(1)
    expect(await session.alive()).toBe(false)
    await session.close()
    await fresher.close()
  })

  test('after a restart every session is after the mark, though numbers began anew', async () => {
    const { account, secret } = await fresh()
    const next = freshSecret()
    const { mark } = await target.install(ctx, { account, strategy: 'in-place', secret: next, current: secret })
    await sleep(1100)
    await lab.server.restart()
    const session = await openSession(lab.server, account, next)
    expect(await target.sessions(ctx, account, { after: mark })).toHaveLength(1)
    expect(await target.endSessions(ctx, account, mark)).toBe(0)
    expect(await session.alive()).toBe(true)
    await session.close()
  }, 30_000)
})

test('a server that validates passwords strictly is told as that, before the first rotation and at it', async () => {
  const { account, secret } = await fresh()
  const order = { account, strategy: 'dual', secret: freshSecret(), current: secret } as const
  expect(await target.warnings?.(ctx)).toEqual([])
  await lab.server.query("install soname 'simple_password_check'")
  try {
    expect(await target.warnings?.(ctx)).toEqual([expect.stringContaining('simple_password_check')])
    for (const strategy of ['dual', 'in-place'] as const) {
      const error = await expectCode(target.install(ctx, { ...order, strategy }), 'target_conflict')
      expect(error.message).toContain('strict_password_validation')
    }
    await lab.server.query('set global strict_password_validation = off')
    expect(await target.warnings?.(ctx)).toEqual([])
    await target.install(ctx, order)
    expect(await outcome(account, order.secret)).toBe('accepted')
  } finally {
    await lab.server.query('set global strict_password_validation = on')
    await lab.server.query("uninstall soname 'simple_password_check'")
  }
})

test('a server that locks accounts after few wrong logins is not driven, and no login is tried there', async () => {
  const { account, secret } = await fresh()
  await lab.server.query('set global max_password_errors = 2')
  const careful = mariadb.open(spec({}))
  try {
    for (let again = 0; again < 4; again++) {
      expect(await careful.probe(ctx, account, freshSecret())).toEqual({ outcome: 'inconclusive', code: 'target_unsupported' })
    }
    const order = { account, strategy: 'dual' as const, secret: freshSecret(), current: secret }
    const error = await expectCode(careful.install(ctx, order), 'target_unsupported')
    expect(error.hint).toContain('max_password_errors = 100')
    await lab.server.query('set global max_password_errors = 100')
    // Had the four tries above been made, the account would be blocked.
    expect(await careful.probe(ctx, account, secret)).toMatchObject({ outcome: 'accepted' })
    await careful.install(ctx, order)
  } finally {
    await careful.close()
    await lab.server.query('set global max_password_errors = default')
  }
})

test('grants carry neither the name nor what it logs in with', async () => {
  const odd = "g'r`a nt"
  const { secret } = await fresh(odd)
  await target.install(ctx, { account: odd, strategy: 'dual', secret: freshSecret(), current: secret })
  expect(await target.listGrants(ctx, odd)).toEqual(['GRANT SELECT ON `shop`.* TO @', 'GRANT USAGE ON *.* TO @'])
})

test('only hashes reach the log of statements', async () => {
  const { account, secret } = await fresh()
  const next = freshSecret()
  await lab.server.query("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON")
  await target.install(ctx, { account, strategy: 'dual', secret: next, current: secret })
  await target.probe(ctx, account, next)
  await target.retire(ctx, { account, strategy: 'dual', old: secret, keep: next })
  await lab.server.query('SET GLOBAL general_log = OFF')
  const rows = await lab.server.query<{ text: string }>('SELECT CAST(argument AS CHAR) AS text FROM mysql.general_log')
  const log = rows.map((row) => row.text).join('\n')
  expect(log).toContain(mysqlNativeHash(next))
  for (const value of [next, secret, lab.root.secret]) expect(value.revealText((text) => log.includes(text))).toBe(false)
})

test('the address can ask for TLS, and a server without it is not spoken to in the clear', async () => {
  const { account, secret } = await fresh()
  for (const tls of ['require', 'verify-full'] as const) {
    const secure = mariadb.open(spec({ address: { ...lab.address, tls } }))
    expect((await secure.probe(ctx, account, secret)).outcome).toBe('inconclusive')
    await expectCode(secure.discover(ctx), 'target_unreachable', [lab.root.secret])
    await secure.close()
  }
})
