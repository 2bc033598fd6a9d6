/** Orders that come at the same moment: one of them starts each rotation, the others are told so. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestServer } from './testing.ts'

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
  await server.declare(40)
})
afterAll(() => server.stop())

const AT_ONCE = 8
const all = (what: (n: number) => object) =>
  Promise.all(Array.from({ length: AT_ONCE }, (_, n) => server.post('/v1/rotations', { reason: `order ${n}`, ...what(n) })))
const live = async () => {
  const [row] = await server.db.store.query<{ count: number }>('select count(*)::int as count from rotation where ended_at is null')
  return row?.count
}

test('by name: one starts it, each other is a conflict that names it', async () => {
  for (let n = 0; n < 8; n++) {
    const answers = await all(() => ({ names: [`app-${n}`] }))
    const [first, ...others] = answers.sort((a, b) => a.status - b.status)
    expect(first?.status).toBe(202)
    const hint = `Look at it: rekey rotation show ${first?.body.rotations[0].rotation}`
    for (const { status, body } of others) expect({ status, ...body }).toMatchObject({ status: 409, code: 'conflict', hint })
  }
  expect(await live()).toBe(8)
})

test('by names in any order nobody waits for nobody: some start them, the others conflict', async () => {
  const answers = await all((n) => ({ names: n % 2 === 0 ? ['app-8', 'app-9', 'app-10'] : ['app-10', 'app-9', 'app-8'] }))
  expect(answers.map(({ status }) => status).sort()).toEqual([202, ...Array(AT_ONCE - 1).fill(409)])
  expect(await live()).toBe(11)
})

test('of a system: each is started once, and what another order started is named as under way', async () => {
  const answers = await all(() => ({ system: 'db' }))
  expect(answers.map(({ status }) => status)).toEqual(Array(AT_ONCE).fill(202))
  const started = answers.flatMap(({ body }) => body.rotations.map((one: { credential: string }) => one.credential))
  expect(started).toHaveLength(40 - 11)
  expect(new Set(started).size).toBe(started.length)
  for (const { body } of answers) expect(body.rotations.length + body.skipped.length).toBe(40)
  expect(await live()).toBe(40)
})
