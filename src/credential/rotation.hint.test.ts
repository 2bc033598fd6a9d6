import { afterAll, beforeAll, expect, test } from 'vitest'
import { Secret } from '../kernel/index.ts'
import { listRotations } from './rotation.list.ts'
import { Engine } from './testing.ts'

let engine: Engine
beforeAll(async () => {
  engine = await Engine.start()
})
afterAll(() => engine.stop())

test('what to do says that it is tried again only while that is so, and then what to run, with the id', async () => {
  const address = { host: '127.0.0.1', port: 1, database: 'postgres', tls: 'off' } as const
  const system = await engine.addSystem('gone', 'postgres', address, { account: 'root', secret: Secret.fromText('root') })
  await engine.addCredential(system, { name: 'one', strategy: 'in-place', accounts: ['one'], current: Secret.fromText('value') })
  const [rotation = ''] = await engine.rotate(['one'])
  const trying = await engine.until(rotation, (view) => view.tries > 0)
  expect(trying.hint).toBe('See that the system answers. It is tried again by itself.')
  expect((await listRotations(engine.db.store, { retrying: true, limit: 5 })).map((view) => view.rotation)).toEqual([rotation])
  await engine.db.store.query('update rotation set tries = 11 where id = $1', [rotation])
  const blocked = await engine.until(rotation, (view) => view.state === 'blocked')
  expect(blocked.hint).toBe(`See that the system answers. Then run: rekey rotation retry ${rotation}`)
  expect(await listRotations(engine.db.store, { retrying: true, limit: 5 })).toEqual([])
})
