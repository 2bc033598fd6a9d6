import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Closer } from '../../src/credential/index.ts'
import { makeCtx, newId } from '../../src/kernel/index.ts'
import { type LabPostgres, startPostgres } from '../lab/postgres.ts'
import { ConsoleLab, lowContrast, overflow, type Person } from './kit.ts'

let lab: ConsoleLab
let target: LabPostgres
let closer: Closer
let ada: Person
const password = `pass-${newId()}`

beforeAll(async () => {
  ;[lab, target] = await Promise.all([ConsoleLab.start(), startPostgres({ fsync: false })])
  ada = await lab.person('ada', 'directory-admin', 'credential-admin')
  await target.query(`create role orders_api login password '${password}'`)
  await declare()
  const parts = { ...lab.server.parts, jitter: () => 0.5 }
  closer = new Closer(parts, makeCtx('worker', 'test'))
  await closer.start()
})
afterAll(async () => {
  await closer?.stop()
  await lab?.stop()
  await target?.stop()
})
afterEach(() => expect(lab.misdeeds()).toEqual([]))

/** One role of a real server, as its identity's credential. */
async function declare(): Promise<void> {
  const text = `version: 1
systems:
  - name: orders-db
    connector: postgres
    address: { host: ${target.host}, port: ${target.port}, database: postgres, tls: off }
    root: { account: ${target.superuser.account}, secret: { file: ./root } }
identities:
  - { name: orders-api, kind: workload, owner: ada, purpose: serves orders, environment: prod }
credentials:
  - name: orders-api@orders-db
    identity: orders-api
    system: orders-db
    account: orders_api
    strategy: in-place
    current: { file: ./orders }
`
  const input = { text, folder: lab.server.folder }
  const { digest } = (await lab.server.post('/v1/fleet/diff', input)).body
  const base64 = (value: string) => Buffer.from(value).toString('base64')
  const root = target.superuser.secret.revealText(base64)
  const secrets = { 'system:orders-db': root, 'credential:orders-api@orders-db': base64(password) }
  const applied = await lab.server.post('/v1/fleet/apply', { ...input, digest, prune: false, secrets, authorities: {} })
  if (applied.status !== 200) throw new Error(applied.text)
}

async function login(): Promise<string> {
  const client = new pg.Client({ host: target.host, port: target.port, database: 'postgres', user: 'orders_api', password })
  try {
    await client.connect()
    return 'accepted'
  } catch (error) {
    return (error as { code?: string }).code ?? 'unknown'
  } finally {
    await client.end().catch(() => undefined)
  }
}

test('what is usable now is listed with its identity, system and last probe; a probe asks the system itself', async () => {
  const page = await lab.page(ada)
  await page.goto('/usable')
  const table = page.getByRole('table', { name: 'Usable versions' })
  const row = table.getByRole('row', { name: /orders-api@orders-db/ })
  await row.waitFor()
  expect(await row.textContent()).toMatch(/orders-api.*orders-db.*orders_api.*current/)
  await page.getByRole('button', { name: 'Probe these now' }).click()
  await row.getByText('accepted').waitFor()
  await page.getByLabel('System').fill('elsewhere')
  await page.getByRole('button', { name: 'Filter' }).click()
  await page.getByText('None matches.').waitFor()
  expect(new URL(page.url()).search).toBe('?system=elsewhere')
})

test('offboarding shows its plan, wants the name, and ends with a proof of death that the page shows', async () => {
  const page = await lab.page(ada)
  await page.goto('/identities?kind=workload')
  await page.getByRole('link', { name: 'orders-api', exact: true }).click()
  await page.getByRole('link', { name: 'Offboard…' }).click()
  await page.getByRole('heading', { name: 'Offboard orders-api' }).waitFor()
  const plan = page.getByRole('table', { name: 'What becomes of each credential' })
  await plan.getByText('orders-api@orders-db').waitFor()
  expect(await plan.textContent()).toContain('stopped, then destroyed and proven dead')
  // Looking has done nothing.
  expect(await login()).toBe('accepted')
  expect((await lab.server.get('/v1/identities/orders-api')).body.status).toBe('active')
  const act = page.getByRole('button', { name: 'Offboard', exact: true })
  await page.getByLabel('Reason, for the record').fill('the service is gone')
  await page.getByLabel('Type orders-api to confirm').fill('orders')
  expect(await act.isDisabled()).toBe(true)
  await page.getByLabel('Type orders-api to confirm').fill('orders-api')
  await act.click()
  await page.getByText('offboarded', { exact: true }).first().waitFor()
  const closure = page.getByRole('region', { name: 'What becomes of its credentials' })
  await closure.getByRole('status').getByText('1 proven dead').waitFor({ timeout: 30_000 })
  await page.getByRole('region', { name: 'To its credentials' }).getByText('Value proven dead, without a successor').waitFor()
  expect(await login()).toBe('28P01')
  expect(await lowContrast(page)).toEqual([])
})

test('findings say what to do and whom to ask', async () => {
  await lab.server.declare(1)
  const page = await lab.page(ada)
  await page.goto('/findings')
  await page.getByRole('heading', { name: 'Findings' }).waitFor()
  const found = page.getByRole('listitem').filter({ hasText: 'To do:' })
  await found.first().waitFor()
  expect(await found.filter({ hasText: 'app' }).first().textContent()).toMatch(/To do:.*Ask .*Since/s)
  const all = await found.count()
  await page.getByLabel('Severity').selectOption('low')
  await page.getByRole('button', { name: 'Filter' }).click()
  await page.waitForURL('**/findings?severity=low')
  await page.waitForLoadState('networkidle')
  expect(await found.count()).toBeLessThan(all)
})

test.each(['light', 'dark'] as const)('these rooms can be read on a telephone in %s colours', async (colorScheme) => {
  const page = await lab.page(ada, { colorScheme, viewport: { width: 390, height: 844 } })
  for (const room of ['/findings', '/usable', '/identities/orders-api', '/identities/app/offboard']) {
    await page.goto(room)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.waitForLoadState('networkidle')
    expect(await overflow(page), room).toBe(0)
    expect(await lowContrast(page), room).toEqual([])
  }
})
