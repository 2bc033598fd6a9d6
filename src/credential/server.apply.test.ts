/** What an apply knows of servers: what they said of themselves when they were met. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isCode, type RekeyError, Secret } from '../kernel/index.ts'
import { allowed, permitted } from '../policy/testing.ts'
import { applyInventory, diffInventory } from './inventory.actions.ts'
import { Engine } from './testing.ts'

let engine: Engine
beforeAll(async () => {
  engine = await Engine.start({ worker: false })
})
afterAll(() => engine.stop())

const system = (name: string, host: string, account: string) => ({
  name,
  connector: 'mariadb',
  address: { host, tls: 'off' },
  root: { account, secret: { prompt: true } },
})
const credential = (at: string, account: string) => ({ name: `${account}@${at}`, identity: 'app', system: at, account, strategy: 'dual' })
const identities = [{ name: 'app', kind: 'workload', owner: 'team', purpose: 'test', environment: 'test' }]

async function apply(systems: readonly object[], credentials: readonly object[] = []): Promise<readonly string[]> {
  const text = JSON.stringify({ version: 1, systems, identities, credentials })
  const { parts, ctx } = engine
  const { digest, needed } = await diffInventory(parts, ctx, allowed(ctx, 'inventory:read'), { text, folder: '/srv' })
  const secrets = new Map(needed.map((one) => [one.for, Secret.fromText('in use')]))
  const input = { text, folder: '/srv', digest, prune: false, secrets, authorities: new Map<string, string>() }
  return applyInventory(parts, ctx, allowed(ctx, 'inventory:apply'), permitted(ctx), input).then(
    () => [],
    (error: RekeyError) => {
      if (!isCode(error, 'conflict')) throw error
      return error.faults?.map(({ message }) => message) ?? []
    },
  )
}

const say = (name: string, facts: object, matched: string | null = null) =>
  engine.db.store.query(`update system set server = $2::jsonb, server_at = host || ':' || port, root_matched = $3 where name = $1`, [
    name,
    JSON.stringify({ facts, run: null }),
    matched,
  ])

test('systems that said the same of themselves share no account, and as whom a server takes root is its root', async () => {
  const systems = [system('a', 'db-a.invalid', 'root_a'), system('b', 'db-b.invalid', 'root_b')]
  expect(await apply(systems, [credential('a', 'app')])).toEqual([])
  // Not met: two names are two servers.
  await say('a', { hostname: 'x' }, 'root_a@localhost')
  await say('b', { hostname: 'y' })
  expect(await apply(systems, [credential('a', 'app'), credential('b', 'other')])).toEqual([])
  await say('b', { hostname: 'x' })
  expect(await apply(systems, [credential('a', 'app'), credential('b', 'other'), credential('b', 'app')])).toEqual([
    'The account "app" of b is that of app@a already: both systems are on one server.',
  ])
  expect(await apply(systems, [credential('a', 'app'), credential('b', 'other'), credential('b', 'root_a@localhost')])).toEqual([
    'The account "root_a@localhost" of b is that of the root credential of a already: both systems are on one server.',
  ])
  expect(await apply(systems, [credential('a', 'app'), credential('a', 'root_a@localhost')])).toEqual([
    'The account "root_a@localhost" of a is that of the root credential of a already.',
  ])
  // What was said at another address, by another root, or of a copy, says nothing.
  const [a, b] = systems
  expect(await apply([{ ...a, root: { account: 'root_c', secret: { prompt: true } } }], [credential('a', 'root_a@localhost')])).toEqual([])
  const moved = { ...b, address: { host: 'db-c.invalid', tls: 'off' } }
  expect(await apply([moved], [credential('b', 'app')])).toEqual([])
})

test('another kind of system has not been met', async () => {
  expect(await apply([system('kind', 'db-k.invalid', 'root_k')])).toEqual([])
  await say('kind', { hostname: 'k' }, 'root_k@localhost')
  expect(await apply([{ ...system('kind', 'db-k.invalid', 'root_k'), connector: 'postgres' }])).toEqual([])
  const rows = await engine.db.store.query("select server, root_matched from system where name = 'kind'")
  expect(rows).toEqual([{ server: null, root_matched: null }])
})
