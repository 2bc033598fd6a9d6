/**
 * Nothing that a MariaDB or a Redis says ends or stops the process that listens, or writes into what it prints: each call fails by itself.
 * PostgreSQL, whose words we read ourselves, has more in postgres/hostile.test.ts.
 */
import { afterAll, expect, test } from 'vitest'
import type { HostileCall } from '../../test/lab/hostile.child.ts'
import { MARIADB, REDIS, startSpeaker } from '../../test/lab/hostile.others.ts'
import { runHostile } from '../../test/lab/hostile.run.ts'
import type { Listener } from '../../test/lab/ports.ts'

const listening: Listener[] = []
afterAll(() => Promise.all(listening.map((each) => each.stop())))

test.each([
  ['mariadb', true, MARIADB],
  ['redis', false, REDIS],
] as const)('%s', { timeout: 300_000 }, async (connector, greets, said) => {
  const calls: HostileCall[] = []
  const names: string[] = []
  for (const [name, replies] of Object.entries(said)) {
    const server = await startSpeaker(greets, replies)
    listening.push(server)
    for (const call of ['identify', 'discover', 'probe'] as const) {
      calls.push({ connector, address: { host: '127.0.0.1', port: server.port, tls: 'off' }, call })
      names.push(`${name}: ${call}`)
    }
  }
  const { lines, end } = await runHostile('child', calls, 280_000)
  expect(end, `at or soon after ${names[lines.length]}`).toEqual([null, 0, ''])
  for (const [at, name] of names.entries()) expect.soft(lines[at], name).toMatch(/^(accepted|target_|unreachable |inconclusive |refused )/)
  expect(Number(lines.at(-1)?.replace('stuck ', ''))).toBeLessThan(3000)
})
