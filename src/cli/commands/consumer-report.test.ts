import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestServer } from '../../api/testing.ts'
import { sleep, systemClock } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { openClient } from '../client.ts'
import { EXIT } from '../exit.ts'
import { Output } from '../output.ts'
import { consumerReport } from './consumer-report.ts'

const VALUE = 'the value that the consumer has'
let server: TestServer
let cli: Cli
let secretFile: string
beforeAll(async () => {
  server = await TestServer.start()
  await server.declare(4, VALUE)
  secretFile = join(server.folder, 'value')
  const tokenFile = join(server.folder, 'token')
  writeFileSync(secretFile, `${VALUE}\n`, { mode: 0o600 })
  writeFileSync(tokenFile, server.token, { mode: 0o600 })
  const config = { url: server.url, tokenFile, serverUid: null, data: server.folder, color: false }
  const client = openClient(config, () => undefined)
  cli = { config, out: new Output({ json: true, color: false }), clock: systemClock, client: () => client }
})
afterAll(async () => {
  rmSync(secretFile, { force: true })
  await server.stop()
})

async function rotate(name: string): Promise<string> {
  const { body } = await server.post('/v1/rotations', { names: [name] })
  return body.rotations[0].rotation
}

/** No worker runs here: the row is moved by hand to where a worker would have moved it, with the value that the consumer has. */
const installed = (rotation: string) =>
  server.db.store.query("update rotation set state = 'installed', new_version_id = old_version_id where id = $1", [rotation])

test('a report that comes before the rotation’s row allows it waits for that, and is accepted', async () => {
  const rotation = await rotate('app-0')
  const reporting = consumerReport(cli, 'app-0', 'app', { secretFile })
  await sleep(700)
  await installed(rotation)
  expect(await reporting).toBe(EXIT.ok)
  expect(await server.db.store.query('select how from activation where rotation_id = $1', [rotation])).toEqual([{ how: 'report' }])
})

test('it does not wait for a rotation that is not there, or is undone meanwhile', async () => {
  const startedMs = performance.now()
  await expect(consumerReport(cli, 'app-1', 'app', { secretFile })).rejects.toMatchObject({ code: 'wrong_state' })
  const rotation = await rotate('app-1')
  const reporting = consumerReport(cli, 'app-1', 'app', { secretFile })
  await sleep(300)
  await server.post(`/v1/rotations/${rotation}/undo`)
  await expect(reporting).rejects.toMatchObject({ code: 'wrong_state' })
  expect(performance.now() - startedMs).toBeLessThan(8_000)
})

test('it says how long it waited in vain', async () => {
  let nowMs = 0
  const clock = {
    ...systemClock,
    monotonicMs: () => {
      nowMs += 4_000
      return nowMs
    },
  }
  await rotate('app-2')
  const reporting = consumerReport({ ...cli, clock }, 'app-2', 'app', { secretFile })
  await expect(reporting).rejects.toMatchObject({ code: 'wrong_state', message: expect.stringContaining('Waited 10 s.') })
})
