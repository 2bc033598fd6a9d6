/** Which server it is where that is not simple: MariaDB, which chooses an account for root, and Redis, which has no name of its own. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findProgram } from '../../test/lab/program.ts'
import { type Proxy as LabProxy, startProxy } from '../../test/lab/proxy.ts'
import { type MariadbLab, startLab as startMariadb } from '../connectors/mariadb/testing.ts'
import { type RedisLab, startLab as startRedis } from '../connectors/redis/testing.ts'
import { newId, Secret } from '../kernel/index.ts'
import { mysqlNativeHash } from '../seal/index.ts'
import { Engine } from './testing.ts'

const noMariadb = findProgram('mariadbd') === null
const noRedis = findProgram('redis-server') === null
let engine: Engine
let maria: MariadbLab
let redis: RedisLab
const proxies: LabProxy[] = []

beforeAll(async () => {
  engine = await Engine.start()
  if (!noMariadb) maria = await startMariadb()
  if (!noRedis) redis = await startRedis()
})
afterAll(async () => {
  await engine.stop()
  for (const proxy of proxies) await proxy.stop()
  if (!noMariadb) await maria.stop()
  if (!noRedis) await redis.stop()
})

const value = () => Secret.fromText(`value-${newId()}`)

test.skipIf(noMariadb)('the account as which MariaDB takes root is the root, however both are spelled', async () => {
  const secret = value()
  const hash = mysqlNativeHash(secret)
  // The library's own way to say where we come from: whichever of the two the server prefers.
  for (const host of ['localhost', '127.0.0.1']) {
    await maria.server.query(`CREATE USER rk_root@'${host}' IDENTIFIED VIA mysql_native_password USING '${hash}'`)
    await maria.server.query(`GRANT ALL PRIVILEGES ON *.* TO rk_root@'${host}' WITH GRANT OPTION`)
  }
  const system = await engine.addSystem('matched', 'mariadb', maria.address, { account: 'rk_root', secret })
  const account = `app${newId().slice(-8)}`
  const first = value()
  await maria.createAccount(account, first)
  await engine.addCredential(system, { name: account, strategy: 'dual', accounts: [account], current: first })
  const [own = ''] = await engine.rotate([account])
  expect((await engine.finished(own)).state).toBe('proven_dead')
  const [row] = await engine.db.store.query<{ root_matched: string }>("select root_matched from system where name = 'matched'")
  const matched = row?.root_matched ?? ''
  expect(['rk_root@localhost', 'rk_root@127.0.0.1']).toContain(matched)
  await engine.addCredential(system, { name: 'twin', strategy: 'in-place', accounts: [matched], current: secret })
  const [id = ''] = await engine.rotate(['twin'])
  expect(await engine.finished(id)).toMatchObject({
    state: 'blocked',
    blockedFrom: 'planned',
    reason: `The account "${matched}" of matched is the one as which the server takes its root credential.`,
  })
  // Another system by another way, whose root nobody has met: it is asked, and what it says of its root counts.
  const proxy = await startProxy(maria.address)
  proxies.push(proxy)
  const around = { ...maria.address, port: proxy.port }
  const second = await engine.addSystem('around', 'mariadb', around, { account: 'rekey_root', secret: maria.root.secret })
  await engine.addCredential(second, { name: 'twin-around', strategy: 'in-place', accounts: [matched], current: secret })
  const [other = ''] = await engine.rotate(['twin-around'])
  const view = await engine.finished(other)
  expect(view.state).toBe('blocked')
  expect(view.reason).toContain('matched and around are one server')
})

test.skipIf(noRedis)('two systems on one Redis are found by its run, also after a restart', async () => {
  const proxy = await startProxy(redis.address)
  proxies.push(proxy)
  const account = `app${newId().slice(-8)}`
  const secret = value()
  await redis.createAccount(account, secret)
  const root = { account: redis.root.account, secret: redis.root.secret }
  const ids = [
    await engine.addSystem('cache', 'redis', redis.address, root),
    await engine.addSystem('cache-around', 'redis', { ...redis.address, port: proxy.port }, root),
  ]
  const own = `own${newId().slice(-8)}`
  await redis.createAccount(own, secret)
  await engine.addCredential(ids[0] ?? '', { name: own, strategy: 'dual', accounts: [own], current: secret })
  for (const [index, system] of ids.entries())
    await engine.addCredential(system, { name: `${account}@${index}`, strategy: 'dual', accounts: [account], current: secret })
  const [first = ''] = await engine.rotate([`${account}@0`])
  expect(await engine.finished(first)).toMatchObject({ state: 'blocked', reason: expect.stringContaining('are one server') })
  await redis.server.command('ACL', 'SAVE')
  await redis.server.restart()
  // A restart is no other server.
  const [alone = ''] = await engine.rotate([own])
  expect((await engine.finished(alone)).state).toBe('proven_dead')
  const [second = ''] = await engine.rotate([`${account}@1`])
  expect(await engine.finished(second)).toMatchObject({ state: 'blocked', reason: expect.stringContaining('are one server') })
})
