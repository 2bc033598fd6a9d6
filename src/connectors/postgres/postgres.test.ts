import { inspect } from 'node:util'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { countConnections, createAccount, letIn, type PostgresLab, startLab } from '../../../test/lab/postgres.contract.ts'
import { startProxy } from '../../../test/lab/proxy.ts'
import { LAB_TLS } from '../../../test/lab/tls.ts'
import { makeCtx, newId, Secret, sleep } from '../../kernel/index.ts'
import { expectCode, expectNoLeak, freshSecret } from '../contract.kit.ts'
import type { SystemSpec, Target } from '../contract.ts'
import { postgres } from './index.ts'

const ctx = makeCtx('test', 'postgres')
const targets: Target[] = []
let lab: PostgresLab

beforeAll(async () => {
  lab = await startLab()
}, 60_000)
afterEach(async () => {
  await Promise.all(targets.splice(0).map((target) => target.close()))
})
afterAll(() => lab.stop())

function spec(): SystemSpec {
  const { account, secret } = lab.root
  return { name: 'lab', address: lab.address, rootAccount: account, rootSecrets: [secret], timeoutMs: 5000, concurrent: 4 }
}

function open(change: Partial<SystemSpec> = {}): Target {
  const target = postgres.open({ ...spec(), ...change })
  targets.push(target)
  return target
}

async function newAccount(attributes = ''): Promise<{ account: string; secret: Secret }> {
  const made = { account: `acc_${newId().slice(-12)}`, secret: freshSecret() }
  await createAccount(lab.server, made.account, made.secret, attributes)
  return made
}

const inPlace = (account: string, secret: Secret) => ({ account, strategy: 'in-place', secret, current: null }) as const

/** What PostgreSQL would say to one simple query that failed: ErrorResponse and ReadyForQuery (protocol 3.0, "Message Formats"). */
function errorReply(fields: Record<string, string>): Buffer {
  const body = Buffer.from(
    `${Object.entries(fields)
      .map(([key, value]) => `${key}${value}\0`)
      .join('')}\0`,
  )
  const head = Buffer.from('E\0\0\0\0')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body, Buffer.from([0x5a, 0, 0, 0, 5, 0x49])])
}

describe('secrets stay inside', () => {
  test('a refusal whose text quotes the statement leaks neither verifier nor value', async () => {
    const { account } = await newAccount()
    const secret = freshSecret()
    const proxy = await startProxy(lab.address)
    let quoted = ''
    proxy.rewriteReplies((reply, request) => {
      // A zero byte ends each text of PostgreSQL: none has one within.
      const statement = request.toString('latin1').replaceAll('\0', '')
      if (!statement.includes('ALTER ROLE')) return reply
      quoted = /SCRAM-SHA-256\$[^']+/.exec(statement)?.[0] ?? ''
      const value = secret.revealText((text) => text)
      return errorReply({
        S: 'ERROR',
        V: 'ERROR',
        C: '22023',
        M: `weak: ${value} in ${statement}`,
        D: statement,
        W: statement,
        q: statement,
      })
    })
    try {
      const target = open({ address: { ...lab.address, port: proxy.port } })
      const error = await expectCode(target.install(ctx, inPlace(account, secret)), 'target_refused_by_policy', [secret])
      expect(quoted).toMatch(/^SCRAM-SHA-256\$4096:/)
      expectNoLeak(error, [Secret.fromText(quoted), Secret.fromText(quoted.slice(-20))])
      expect(error.detail).toBe('SQLSTATE 22023')
    } finally {
      await proxy.stop()
    }
  })

  test('the value itself never goes over the wire at install, and the warm path is one round trip', async () => {
    const { account } = await newAccount()
    const secret = freshSecret()
    const proxy = await startProxy(lab.address)
    const requests: string[] = []
    try {
      const target = open({ address: { ...lab.address, port: proxy.port } })
      await target.discover(ctx)
      proxy.rewriteReplies((reply, request) => {
        requests.push(request.toString('latin1'))
        return reply
      })
      const { mark } = await target.install(ctx, inPlace(account, secret))
      expect(mark).toMatch(/^\d{16}$/)
      expect(new Set(requests).size).toBe(1)
      expect(secret.revealText((text) => requests.join().includes(text))).toBe(false)
      expect(inspect(target, { depth: 12, showHidden: true })).not.toContain(lab.root.secret.revealText((text) => text))
    } finally {
      await proxy.stop()
    }
  })
})

describe('probes are not fooled', () => {
  test('an account that is let in without a password accepts nothing: no_password_asked', async () => {
    const { account, secret } = await newAccount()
    const end = await letIn(lab.server, account)
    try {
      expect(await open().probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code: 'no_password_asked' })
      expect(await open().probe(ctx, account, freshSecret())).toEqual({ outcome: 'inconclusive', code: 'no_password_asked' })
    } finally {
      await end()
    }
  })

  test.each([
    ['NOLOGIN', '28000'],
    ['CONNECTION LIMIT 0', '53300'],
  ])('%s is inconclusive with the SQLSTATE', async (attribute, code) => {
    const { account, secret } = await newAccount()
    await lab.server.query(`ALTER ROLE ${account} ${attribute}`)
    expect(await open().probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code })
  })

  test('a database that is not there is inconclusive; a passed VALID UNTIL looks refused', async () => {
    const { account, secret } = await newAccount()
    const elsewhere = open({ address: { ...lab.address, database: 'nowhere' } })
    expect(await elsewhere.probe(ctx, account, secret)).toEqual({ outcome: 'inconclusive', code: '3D000' })
    await lab.server.query(`ALTER ROLE ${account} VALID UNTIL '2001-01-01'`)
    expect(await open().probe(ctx, account, secret)).toEqual({ outcome: 'refused', code: '28P01' })
  })

  test('a paused server is unreachable, and is itself again afterwards', async () => {
    const { account, secret } = await newAccount()
    const target = open({ timeoutMs: 300 })
    lab.server.pause()
    try {
      expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'unreachable', code: 'timeout' })
      await expectCode(target.install(ctx, inPlace(account, freshSecret())), 'target_unreachable')
    } finally {
      lab.server.resume()
    }
    expect(await open().probe(ctx, account, secret)).toEqual({ outcome: 'accepted', code: 'ready' })
  })

  test('over a socket folder root and probes meet the same server', async () => {
    const { account, secret } = await newAccount()
    const target = open({ address: { ...lab.address, host: lab.server.folder } })
    expect((await target.discover(ctx)).some(({ name }) => name === account)).toBe(true)
    expect(await target.probe(ctx, account, secret)).toEqual({ outcome: 'accepted', code: 'ready' })
    expect(await target.probe(ctx, account, freshSecret())).toEqual({ outcome: 'refused', code: '28P01' })
  })

  test('a value that is not text is inconclusive', async () => {
    const { account } = await newAccount()
    const probe = await open().probe(ctx, account, new Secret(Uint8Array.of(0xff, 0xfe)))
    expect(probe).toEqual({ outcome: 'inconclusive', code: 'value_not_text' })
  })
})

describe('TLS', () => {
  const tls = (host: string, mode: 'require' | 'verify-full', ca?: string) =>
    open({ address: { ...lab.address, host, tls: mode, ...(ca ? { ca } : {}) } })

  test('the name is checked under verify-full only, the authority whenever one is named', async () => {
    const { account, secret } = await newAccount()
    const probe = async (target: Target) => (await target.probe(ctx, account, secret)).code
    expect(await probe(tls('127.0.0.1', 'verify-full', LAB_TLS.ca))).toBe('ready')
    expect(await probe(tls('localhost', 'verify-full', LAB_TLS.ca))).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
    expect(await probe(tls('127.0.0.1', 'verify-full'))).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    expect(await probe(tls('localhost', 'require'))).toBe('ready')
    expect(await probe(tls('localhost', 'require', LAB_TLS.ca))).toBe('ready')
    expect(await probe(tls('127.0.0.1', 'require', LAB_TLS.cert))).not.toBe('ready')
    const target = tls('127.0.0.1', 'verify-full', LAB_TLS.ca)
    await target.install(ctx, inPlace(account, freshSecret()))
    expect((await target.probe(ctx, account, secret)).outcome).toBe('refused')
  })
})

describe('sessions', () => {
  test('the mark lies after the commit: until then the old value was let in', async () => {
    const { account } = await newAccount()
    const { mark } = await open().install(ctx, inPlace(account, freshSecret()))
    const [row] = await lab.server.query<{ at: string }>(
      'SELECT (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint::text AS at FROM pg_authid WHERE rolname = $1',
      [account],
    )
    expect(BigInt(row?.at ?? '')).toBeLessThanOrEqual(BigInt(mark))
    expect(BigInt(mark) - BigInt(row?.at ?? '')).toBeLessThan(5_000_000n)
  })

  test('a consumer that calls itself like Rekey proves nothing and is ended all the same', async () => {
    const { account, secret } = await newAccount()
    const target = open()
    const next = freshSecret()
    const { mark } = await target.install(ctx, inPlace(account, next))
    const disguised = await lab.openSession(account, next, 'rekey:0123456789ab')
    expect(secret.equals(next)).toBe(false)
    expect(await target.sessions(ctx, account, { after: mark })).toEqual([])
    expect(await target.sessions(ctx, account)).toHaveLength(1)
    expect(await target.endSessions(ctx, account)).toBe(1)
    expect(await disguised.alive()).toBe(false)
    await disguised.close()
  })

  test('many are ended at once, without waiting for one after the other', async () => {
    const { account, secret } = await newAccount()
    const sessions = await Promise.all(Array.from({ length: 40 }, () => lab.openSession(account, secret, 'many')))
    expect(await open().endSessions(ctx, account)).toBe(40)
    expect(await Promise.all(sessions.map((session) => session.alive()))).not.toContain(true)
    await Promise.all(sessions.map((session) => session.close()))
  })

  test('one that does not die is a conflict, never a success', async () => {
    const { account, secret } = await newAccount()
    const session = await lab.openSession(account, secret, 'stuck')
    const target = open({ timeoutMs: 400 })
    const [seen] = await target.sessions(ctx, account)
    const backend = Number(seen?.id)
    process.kill(backend, 'SIGSTOP')
    try {
      const error = await expectCode(target.endSessions(ctx, account), 'target_conflict')
      expect(error.detail).toBe('1 of 1 left')
    } finally {
      process.kill(backend, 'SIGCONT')
    }
    expect(await session.alive()).toBe(false)
    await session.close()
  })

  test('those of the root account are listed without our own, and ended without ending ours', async () => {
    const { account, secret } = lab.root
    const target = open()
    await Promise.all([target.discover(ctx), target.discover(ctx), target.discover(ctx)])
    expect(await target.sessions(ctx, account)).toEqual([])
    const person = await lab.openSession(account, secret, 'psql')
    const ours = await countConnections(lab.server)
    expect(await target.endSessions(ctx, account)).toBe(1)
    expect(await person.alive()).toBe(false)
    expect(await countConnections(lab.server)).toBe(ours - 1)
    await person.close()
  })

  test('probes that run meanwhile are never taken for sessions after the mark', async () => {
    const { account, secret } = await newAccount()
    const target = open()
    const { mark } = await target.install(ctx, inPlace(account, secret))
    for (let i = 0; i < 20; i++) {
      const [, seen] = await Promise.all([target.probe(ctx, account, secret), target.sessions(ctx, account, { after: mark })])
      expect(seen).toEqual([])
    }
  })
})

describe('root with too few rights', () => {
  async function weakRoot(attributes: string): Promise<Target> {
    const { account, secret } = await newAccount(attributes)
    return open({ rootAccount: account, rootSecrets: [secret] })
  }

  test('is not authorised to install, and the account keeps its value', async () => {
    const { account, secret } = await newAccount()
    await expectCode((await weakRoot('')).install(ctx, inPlace(account, freshSecret())), 'target_not_authorised')
    expect((await open().probe(ctx, account, secret)).outcome).toBe('accepted')
  })

  test('never takes sessions that it may not see for none', async () => {
    const { account, secret } = await newAccount()
    const session = await lab.openSession(account, secret, 'seen')
    const root = await weakRoot('CREATEROLE')
    await expectCode(root.sessions(ctx, account), 'target_not_authorised')
    await expectCode(root.endSessions(ctx, account, '1'), 'target_not_authorised')
    expect(await session.alive()).toBe(true)
    await session.close()
  })

  test('CREATEROLE with ADMIN and the two monitoring roles is enough', async () => {
    const { account, secret } = await newAccount()
    const made = await newAccount('CREATEROLE IN ROLE pg_read_all_stats, pg_signal_backend')
    await lab.server.query(`GRANT ${account} TO ${made.account} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`)
    const root = open({ rootAccount: made.account, rootSecrets: [made.secret] })
    const session = await lab.openSession(account, secret, 'old')
    const { mark } = await root.install(ctx, inPlace(account, freshSecret()))
    expect(await root.endSessions(ctx, account, mark)).toBe(1)
    expect((await root.probe(ctx, account, secret)).outcome).toBe('refused')
    await session.close()
  })
})

describe('the account must be as expected', () => {
  test('a role that may not log in is a conflict and keeps its value', async () => {
    const { account, secret } = await newAccount()
    await lab.server.query(`ALTER ROLE ${account} NOLOGIN`)
    await expectCode(open().install(ctx, inPlace(account, freshSecret())), 'target_conflict')
    await lab.server.query(`ALTER ROLE ${account} LOGIN`)
    expect((await open().probe(ctx, account, secret)).outcome).toBe('accepted')
  })

  test('objects that others made cannot stand in for the system catalogue', async () => {
    const { account, secret } = await newAccount()
    await lab.server.query(`CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT to_timestamp(0)'`)
    await lab.server.query(`ALTER ROLE ${lab.root.account} SET search_path = public, pg_catalog`)
    try {
      const { mark } = await open().install(ctx, inPlace(account, secret))
      expect(Number(mark)).toBeGreaterThan(1_000_000)
    } finally {
      await lab.server.query(`ALTER ROLE ${lab.root.account} RESET search_path`)
      await lab.server.query('DROP FUNCTION public.clock_timestamp()')
    }
  })
})

describe('grants', () => {
  test('an alternating pair is equal until one of them gets wider, here or in another database', async () => {
    const [a, b, group] = [await newAccount(), await newAccount(), await newAccount()]
    await lab.server.query(`CREATE TABLE public.wide (id int, secret text)`)
    await lab.server.query(`CREATE DATABASE other`)
    await lab.server.query(`GRANT ${group.account} TO ${a.account}, ${b.account}`)
    await lab.server.query(`GRANT SELECT (id) ON public.wide TO ${a.account}, ${b.account}`)
    const target = open()
    const grants = (of: { account: string }) => target.listGrants(ctx, of.account)
    const before = await grants(a)
    expect(before).toEqual(['attribute login', `member of ${group.account}`, 'select on column id of table public.wide'])
    expect(await grants(b)).toEqual(before)
    await lab.server.query(`GRANT CREATE ON DATABASE other TO ${b.account} WITH GRANT OPTION`)
    await lab.server.query(`CREATE SCHEMA ${b.account} AUTHORIZATION ${b.account}`)
    await lab.server.query(`ALTER ROLE ${b.account} CREATEDB`)
    const wider = (await grants(b)).filter((right) => !before.includes(right))
    expect(wider).toEqual(['attribute createdb', 'create on database other with grant', `owns schema ${b.account}`])
    const inOther = open({ address: { ...lab.address, database: 'other' } })
    expect((await inOther.listGrants(ctx, a.account)).filter((right) => /^(granted|owns)/.test(right))).toEqual([
      expect.stringMatching(/^granted on pg_class \d+ of database postgres$/),
    ])
    await expectCode(target.listGrants(ctx, 'nobody_here'), 'target_conflict')
  })
})

describe('grants that only look equal', () => {
  const pair = async () => {
    const [a, b] = [await newAccount(), await newAccount()]
    const wider = async (target = open()) => {
      const before = await target.listGrants(ctx, a.account)
      return (await target.listGrants(ctx, b.account)).filter((right) => !before.includes(right))
    }
    return { a: a.account, b: b.account, wider }
  }

  test('objects of different names are different, also when they are called like their accounts', async () => {
    const { a, b, wider } = await pair()
    for (const name of [a, b]) {
      await lab.server.query(`CREATE TABLE public.${name} (id int, "${name} x" int)`)
      await lab.server.query(`GRANT SELECT ("${name} x") ON public.${name} TO ${name}`)
      // What it gives away of its own future tables is no right over others'.
      await lab.server.query(`ALTER DEFAULT PRIVILEGES FOR ROLE ${name} GRANT SELECT ON TABLES TO pg_monitor`)
    }
    expect(await wider()).toEqual([`select on column ${b} x of table public.${b}`])
  })

  test('rows that a policy lets one of them see are rights; equal policies are equal', async () => {
    const { a, b, wider } = await pair()
    const table = `rows_${newId().slice(-12)}`
    await lab.server.query(`CREATE TABLE public.${table} (tenant int); ALTER TABLE public.${table} ENABLE ROW LEVEL SECURITY`)
    await lab.server.query(`GRANT SELECT ON public.${table} TO ${a}, ${b}`)
    await lab.server.query(`CREATE POLICY pa ON public.${table} TO ${a} USING (tenant = 1)`)
    await lab.server.query(`CREATE POLICY pb ON public.${table} TO ${b} USING (true)`)
    expect(await wider()).toEqual([`rows of table public.${table} using true`])
    await lab.server.query(`ALTER POLICY pb ON public.${table} USING (tenant = 1)`)
    expect(await wider()).toEqual([])
  })

  test('a policy that restricts only the first leaves the second wider, by whichever role it is named', async () => {
    const { a, b, wider } = await pair()
    const group = await newAccount()
    const table = `few_${newId().slice(-12)}`
    await lab.server.query(`CREATE TABLE public.${table} (tenant int); GRANT ${group.account} TO ${a}`)
    await lab.server.query(`CREATE POLICY few ON public.${table} AS RESTRICTIVE FOR SELECT TO ${group.account} USING (tenant = 1)`)
    expect(await wider()).toEqual([`not restricted on table public.${table} for select using (tenant = 1)`])
    await lab.server.query(`ALTER POLICY few ON public.${table} TO ${a}, ${b}`)
    expect(await wider()).toEqual([])
  })

  test('of a policy in another database it is known whom it names, and both must be named alike', async () => {
    const { a, b, wider } = await pair()
    const base = `base_${newId().slice(-12)}`
    await lab.server.query(`CREATE DATABASE ${base}`)
    const there = new pg.Client({
      ...lab.address,
      database: base,
      user: 'postgres',
      password: lab.server.superuser.secret.revealText((text) => text),
    })
    await there.connect()
    await there.query(`CREATE TABLE t (i int); CREATE POLICY p ON t AS RESTRICTIVE TO ${a} USING (i = 1)`)
    expect(await wider()).toEqual([expect.stringMatching(new RegExp(`^not named by policy \\d+ of database ${base}$`))])
    await there.query(`ALTER POLICY p ON t TO ${b}`)
    expect(await wider()).toEqual([expect.stringMatching(new RegExp(`^named by policy \\d+ of database ${base}$`))])
    await there.query(`ALTER POLICY p ON t TO ${a}, ${b}`)
    expect(await wider()).toEqual([])
    await there.end()
  })
})

describe('connections', () => {
  test('two hundred rotations leave as many as there were, and never more than allowed', async () => {
    const accounts = await Promise.all(Array.from({ length: 8 }, () => newAccount()))
    const target = open({ concurrent: 3 })
    const before = await countConnections(lab.server)
    let most = 0
    const rotate = async ({ account }: { account: string }) => {
      for (let i = 0; i < 25; i++) {
        const secret = freshSecret()
        const { mark } = await target.install(ctx, inPlace(account, secret))
        if (i % 5 === 0) most = Math.max(most, await rootConnections())
        expect((await target.probe(ctx, account, secret)).outcome).toBe('accepted')
        await target.endSessions(ctx, account, mark)
      }
    }
    await Promise.all(accounts.map(rotate))
    expect(most).toBeLessThanOrEqual(3)
    await target.close()
    await sleep(50)
    expect(await countConnections(lab.server)).toBe(before)
  })

  test('a root secret that is forgotten in the middle of a call leaves no connection behind', async () => {
    const before = await countConnections(lab.server)
    const target = open()
    await target.discover(ctx)
    // On the wire before the secret is forgotten: a call that waits for nothing first (an install computes its verifier).
    const call = target.discover(ctx)
    await sleep(0)
    await target.forgetRoot({ ...spec(), rootSecrets: [freshSecret()] })
    await call
    expect(await countConnections(lab.server)).toBe(before)
    await expectCode(target.discover(ctx), 'target_not_authorised')
  })

  test('a restart of the server costs nothing but the calls of that moment', async () => {
    const { account, secret } = await newAccount()
    const target = open()
    await target.discover(ctx)
    await lab.server.restart()
    await target.install(ctx, inPlace(account, secret))
    expect((await target.probe(ctx, account, secret)).outcome).toBe('accepted')
  })

  test('calls that wait for a place are given up in time, and a closed target takes none', async () => {
    const { account } = await newAccount()
    const blocker = new pg.Client({ ...lab.address, user: 'postgres', password: lab.server.superuser.secret.revealText((text) => text) })
    await blocker.connect()
    await blocker.query('BEGIN; LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE')
    const target = open({ concurrent: 1, timeoutMs: 300 })
    const warm = [1, 2, 3].map(() => expectCode(target.install(ctx, inPlace(account, freshSecret())), 'target_unreachable'))
    await Promise.all(warm)
    await blocker.end()
    await target.discover(ctx)
    await target.close()
    await expectCode(target.discover(ctx), 'target_unreachable')
  })

  async function rootConnections(): Promise<number> {
    const [row] = await lab.server.query<{ n: number }>('SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = $1', [
      lab.root.account,
    ])
    return row?.n ?? Number.NaN
  }
})
