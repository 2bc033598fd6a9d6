/** Nothing that a server says ends or stops the process that listens: each call fails by itself, and says what was wrong. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeAuthority } from '../../../test/lab/certificates.ts'
import type { HostileCall } from '../../../test/lab/hostile.child.ts'
import { runHostile } from '../../../test/lab/hostile.run.ts'
import { AFTER_LOGIN, BEFORE_LOGIN, startHostile, startHostileAfterLogin } from '../../../test/lab/hostile.ts'
import type { Listener } from '../../../test/lab/ports.ts'
import { type PostgresLab, startLab } from '../../../test/lab/postgres.contract.ts'

const CALLS = ['identify', 'discover', 'probe'] as const
/** Nobody notices that long a stop. A machine that is very busy makes one of some hundred milliseconds by itself. */
const STUCK_MS = 3000

/** Makes each call in one child; the answers by name. */
async function answers(calls: Readonly<Record<string, HostileCall>>): Promise<Map<string, string>> {
  const { lines, end } = await runHostile('child', Object.values(calls), 120_000)
  expect(end, `at or soon after ${Object.keys(calls)[lines.length]}`).toEqual([null, 0, ''])
  expect(Number(lines.at(-1)?.replace('stuck ', ''))).toBeLessThan(STUCK_MS)
  return new Map(Object.keys(calls).map((name, at) => [name, lines[at] ?? 'nothing']))
}

const listening: Listener[] = []
afterAll(() => Promise.all(listening.map((each) => each.stop())))

/** What may come of it before a login, where it is not that no PostgreSQL says such a thing. */
const OTHER: Readonly<Record<string, RegExp>> = {
  'a SASL challenge before SASL': /LOGIN_UNSUPPORTED/,
  'the end of SASL before SASL': /LOGIN_UNSUPPORTED/,
  'MD5 without salt': /LOGIN_UNSUPPORTED/,
  'a way to log in that does not exist': /LOGIN_UNSUPPORTED/,
  'SASL without mechanisms': /LOGIN_UNSUPPORTED/,
  'another mechanism': /LOGIN_UNSUPPORTED/,
  'SASL with mechanisms without end': /^unreachable timeout|^target_unreachable deadline/,
  'SCRAM by heart': /NOT_SCRAM/,
  'rows before anything was asked': /^target_conflict SERVER_NOT_PROVEN|^inconclusive no_password_asked/,
}

test('before a login', { timeout: 150_000 }, async () => {
  const calls: Record<string, HostileCall> = {}
  for (const [name, reply] of Object.entries(BEFORE_LOGIN)) {
    const server = await startHostile(reply)
    listening.push(server)
    const address = { host: '127.0.0.1', port: server.port, tls: 'off' } as const
    for (const call of CALLS) calls[`${name}: ${call}`] = { connector: 'postgres', address, call }
  }
  for (const [name, answer] of await answers(calls)) {
    const wanted = OTHER[name.slice(0, name.lastIndexOf(':'))] ?? /^(target_unreachable|unreachable) NOT_POSTGRESQL$/
    expect.soft(answer, name).toMatch(wanted)
  }
})

test('after a login, through TLS', { timeout: 150_000 }, async () => {
  const authority = makeAuthority()
  const tls = authority.issue({ hosts: ['127.0.0.1'] })
  const calls: Record<string, HostileCall> = {}
  for (const [name, reply] of Object.entries(AFTER_LOGIN)) {
    const server = await startHostileAfterLogin(reply, tls)
    listening.push(server)
    const address = { host: '127.0.0.1', port: server.port, tls: 'verify-full', ca: authority.ca } as const
    calls[name] = { connector: 'postgres', address, call: 'discover' }
  }
  for (const [name, answer] of await answers(calls)) expect.soft(answer, name).toBe('target_unreachable NOT_POSTGRESQL')
})

let server: PostgresLab
beforeAll(async () => {
  server = await startLab()
}, 60_000)
afterAll(() => server.stop())

test('real conversations, of which anything is changed on the way', { timeout: 200_000 }, async () => {
  const { account, secret } = server.root
  const input = { address: server.address, account, secret: secret.revealText((value) => value), runs: 400 }
  const { lines, end } = await runHostile('fuzz', input, 180_000)
  expect(end).toEqual([null, 0, ''])
  const [kinds = '', stuck = ''] = lines
  // Most were changed so that it mattered, and some went through unharmed: else nothing was tried.
  expect(kinds).toMatch(/NOT_POSTGRESQL/)
  expect(kinds).toMatch(/accepted/)
  expect(Number(stuck)).toBeLessThan(STUCK_MS)
})
