/**
 * An answer as long as it may be takes little memory and holds nobody up, whatever it says: a few bytes of a hostile server became all
 * memory of the process, again after each restart. Each call is made in a process of its own, which ends with much less than a server has.
 */
import { afterAll, expect, test } from 'vitest'
import { makeAuthority } from '../../test/lab/certificates.ts'
import type { HostileCall } from '../../test/lab/hostile.child.ts'
import { HEAVY_MARIADB, HEAVY_REDIS, startSpeaker } from '../../test/lab/hostile.others.ts'
import { runHostile } from '../../test/lab/hostile.run.ts'
import { HEAVY, startHostileAfterLogin } from '../../test/lab/hostile.ts'
import type { Listener } from '../../test/lab/ports.ts'

const HEAP_MIB = 512
/** What one answer may take beside the process itself. */
const MOST_MIB = 200
/** Nobody notices that long a stop. A machine that is very busy makes one of some hundred milliseconds by itself. */
const STUCK_MS = 1500

const listening: Listener[] = []
afterAll(() => Promise.all(listening.map((each) => each.stop())))

async function bearable(calls: readonly HostileCall[], name: string, mostMib = MOST_MIB): Promise<readonly string[]> {
  const { lines, end } = await runHostile('child', calls, 60_000, HEAP_MIB)
  expect(end, name).toEqual([null, 0, ''])
  const [grown = '', stuck = ''] = lines.slice(-2)
  expect(Number(grown.replace('grown ', ''))).toBeLessThan(mostMib)
  expect(Number(stuck.replace('stuck ', ''))).toBeLessThan(STUCK_MS)
  for (const told of lines.slice(0, -2)) expect(told).toMatch(/^(accepted|target_)/)
  return lines.slice(0, -2)
}

const authority = makeAuthority()
const tls = authority.issue({ hosts: ['127.0.0.1'] })

async function speaking(connector: string, name: string): Promise<HostileCall> {
  const postgres = connector === 'postgres' ? HEAVY[name]?.() : undefined
  const others = (connector === 'mariadb' ? HEAVY_MARIADB : HEAVY_REDIS)[name]?.() ?? []
  const server = postgres
    ? await startHostileAfterLogin(postgres.reply, tls, postgres.question)
    : await startSpeaker(connector === 'mariadb', others)
  listening.push(server)
  const way = postgres ? ({ tls: 'verify-full', ca: authority.ca } as const) : ({ tls: 'off' } as const)
  return { connector, address: { host: '127.0.0.1', port: server.port, ...way }, call: 'discover', timeoutMs: 10_000 }
}

const all = { postgres: HEAVY, mariadb: HEAVY_MARIADB, redis: HEAVY_REDIS }
const cases = Object.entries(all).flatMap(([connector, answers]) => Object.keys(answers).map((name) => [connector, name] as const))

test.each(cases)('%s: %s', { timeout: 70_000 }, async (connector, name) => {
  const [told] = await bearable([await speaking(connector, name)], name)
  if (name === 'rows that fit') expect(told).toBe('accepted')
})

test('many systems at once', { timeout: 70_000 }, async () => {
  const each = [
    ['postgres', 'rows without names'],
    ['mariadb', 'rows of nothing'],
    ['redis', 'short texts for accounts'],
    ['postgres', 'rows that fit'],
    ['mariadb', 'rows that fit'],
  ] as const
  const calls = await Promise.all([...each, ...each].map(([connector, name]) => speaking(connector, name)))
  await bearable(calls, 'many', HEAP_MIB)
})
