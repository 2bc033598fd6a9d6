import { connect } from 'node:net'
import mysql from 'mysql2/promise'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { alter, createAccount, type MariadbLab, startLab } from '../connectors/mariadb/testing.ts'
import { newId, Secret } from '../kernel/index.ts'
import { allowed } from '../policy/testing.ts'
import { mysqlNativeHash } from '../seal/index.ts'
import { setRoot } from './inventory.root.ts'
import { retryRotation } from './rotation.actions.ts'
import { Engine } from './testing.ts'

let lab: MariadbLab
let engine: Engine
let system: string

beforeAll(async () => {
  ;[lab, engine] = await Promise.all([startLab(), Engine.start()])
  system = await engine.addSystem('shop-db', 'mariadb', lab.address, lab.root)
})
afterAll(async () => {
  await engine?.stop()
  await lab?.stop()
})

const text = (secret: Secret) => secret.revealText((value) => value)

/** As the account that the server picks for this name and place: null if it lets nobody in. */
async function loginFrom(localAddress: string, user: string, secret: Secret): Promise<string | null> {
  const { host, port } = lab.address
  try {
    const stream = () => connect({ host, port, localAddress })
    const options = { user, password: text(secret), stream }
    const connection = await mysql.createConnection(options)
    const [rows] = await connection.query('SELECT CURRENT_USER() AS matched')
    await connection.end()
    return (rows as { matched: string }[])[0]?.matched ?? null
  } catch {
    return null
  }
}

async function credential(name: string, account: string, current: Secret, strategy: 'in-place' | 'dual'): Promise<void> {
  const consumers = [{ name, activation: 'none' as const }]
  await engine.addCredential(system, { name, strategy, accounts: [account], current, consumers })
}

const retry = (id: string) => retryRotation(engine.parts, engine.ctx, allowed(engine.ctx, 'rotation:retry'), id)

test.each(['in-place', 'dual'] as const)(
  '%s: a value that still lets the same name in from another place is not called dead until that place is shut too',
  async (strategy) => {
    const name = `svc_${newId().slice(-8)}`
    const shared = Secret.fromText('the-value-of-both')
    for (const account of [name, `${name}@127.0.0.2`]) await createAccount(lab.server, account, shared)
    await credential(strategy, name, shared, strategy)
    const [id = ''] = await engine.rotate([strategy])
    const blocked = await engine.finished(id)
    expect(blocked).toMatchObject({
      state: 'blocked',
      blockedFrom: 'retired',
      reason: `The old value still logs in by the same name from other places: ${name}@127.0.0.2.`,
      hint: expect.stringContaining('rekey rotation retry'),
      provedDeadAt: null,
    })
    expect(await loginFrom('127.0.0.1', name, shared)).toBeNull()
    expect(await loginFrom('127.0.0.2', name, shared)).toBe(`${name}@127.0.0.2`)
    if (strategy === 'dual') await lab.server.query(`DROP USER '${name}'@'127.0.0.2'`)
    else await alter(lab.server, `${name}@127.0.0.2`, `IDENTIFIED BY 'another-value'`)
    expect(await loginFrom('127.0.0.2', name, shared)).toBeNull()
    await retry(id)
    expect((await engine.finished(id)).state).toBe('proven_dead')
  },
)

test('the anonymous user counts, a locked account and one with another value do not', async () => {
  const name = `svc_${newId().slice(-8)}`
  const [shared, different] = [Secret.fromText('shared-by-the-anonymous'), Secret.fromText('another-value')]
  await createAccount(lab.server, name, shared)
  await createAccount(lab.server, `${name}@10.1.%`, different)
  await createAccount(lab.server, `${name}@10.2.%`, shared)
  await alter(lab.server, `${name}@10.2.%`, 'ACCOUNT LOCK')
  await createAccount(lab.server, `${name}x@10.3.%`, shared)
  const hash = mysqlNativeHash(shared)
  await lab.server.query(`CREATE USER ''@'10.4.%' IDENTIFIED VIA unix_socket OR mysql_native_password USING '${hash}'`)
  await credential('anonymous', name, shared, 'in-place')
  const [id = ''] = await engine.rotate(['anonymous'])
  const blocked = await engine.finished(id)
  expect(blocked).toMatchObject({ state: 'blocked', reason: expect.stringMatching(/places: \(anonymous\)@10\.4\.%\.$/) })
  expect(JSON.stringify(blocked)).not.toContain(hash)
  await lab.server.query(`DROP USER ''@'10.4.%'`)
  await retry(id)
  expect((await engine.finished(id)).state).toBe('proven_dead')
})

test('of a root, a value that is told to be replaced by hand is not called dead while it lets the same name in elsewhere', async () => {
  const root = `root_${newId().slice(-8)}`
  const [first, second] = [Secret.fromText('first-root-value'), Secret.fromText('second-root-value')]
  for (const account of [root, `${root}@127.0.0.2`]) await createAccount(lab.server, account, first)
  await lab.server.query(`GRANT ALL ON *.* TO '${root}'@'%' WITH GRANT OPTION`)
  await engine.addSystem('by-hand', 'mariadb', lab.address, { account: root, secret: first })
  await engine.db.store.query(
    `update version v set last_probe = jsonb_build_object('outcome', 'accepted', 'code', 'ok', 'at', now(), 'where', s.place)
       from credential c join system s on s.id = c.system_id where c.id = v.credential_id and s.name = 'by-hand'`,
  )
  await alter(lab.server, root, `IDENTIFIED BY 'second-root-value'`)
  const set = (value: Secret) => setRoot(engine.parts, engine.ctx, allowed(engine.ctx, 'system:set-root'), 'by-hand', value)
  expect(await set(second)).toEqual({ version: 2, changed: true, old: 'unprovable', stillAt: [`${root}@127.0.0.2`] })
  expect(await loginFrom('127.0.0.2', root, first)).toBe(`${root}@127.0.0.2`)
  await lab.server.query(`DROP USER '${root}'@'127.0.0.2'`)
  await alter(lab.server, root, `IDENTIFIED BY 'third-root-value'`)
  expect(await set(Secret.fromText('third-root-value'))).toMatchObject({ version: 3, old: 'dead', stillAt: [] })
})
