import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { ConsoleLab, lowContrast, overflow, type Person } from './kit.ts'

let lab: ConsoleLab
let ada: Person
/** A name that would turn the text beside it around, and mark-up that would run. */
const HOSTILE = '<img src=x onerror=alert(1)>'

beforeAll(async () => {
  lab = await ConsoleLab.start()
  await lab.server.declare(2)
  ada = await lab.person('ada', 'directory-admin', 'credential-admin')
  await lab.person('grace')
  await lab.server.post('/v1/identities', { name: 'orders-api', kind: 'workload', owner: 'ada', purpose: HOSTILE, environment: 'prod' })
})
afterAll(() => lab?.stop())
afterEach(() => expect(lab.misdeeds()).toEqual([]))

const rows = (page: Page) => page.getByRole('table').getByRole('row')

test('who is not logged in is asked to, and a path of elsewhere is never gone to after it', async () => {
  const page = await (await lab.context()).newPage()
  await page.goto('/identities?kind=human')
  await page.getByRole('heading', { name: 'Log in' }).waitFor()
  expect(new URL(page.url()).pathname).toBe('/login')
  expect(new URL(page.url()).searchParams.get('next')).toBe('/identities?kind=human')
  for (const next of ['https://example.com/', '//example.com', '/\\example.com', '/login']) {
    await page.goto(`/login?next=${encodeURIComponent(next)}`)
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    expect(new URL(page.url()).searchParams.get('next')).toBe('/')
  }
})

test('identities are listed and filtered; the filter is in the address', async () => {
  const page = await lab.page(ada)
  await page.goto('/')
  await page.getByRole('heading', { name: 'Identities' }).waitFor()
  await page.getByRole('link', { name: 'orders-api' }).waitFor()
  expect(await rows(page).count()).toBe(5)
  await page.getByLabel('Kind').selectOption('human')
  await page.getByRole('button', { name: 'Filter' }).click()
  await page.getByRole('link', { name: 'orders-api' }).waitFor({ state: 'detached' })
  expect(await page.getByRole('table').getByRole('link').allTextContents()).toEqual(['ada', 'grace'])
  expect(new URL(page.url()).search).toBe('?kind=human')
  await page.goBack()
  await page.getByRole('link', { name: 'orders-api' }).waitFor()
})

test('one identity has its record, its credentials and its two timelines; what came from outside is text', async () => {
  const page = await lab.page(ada)
  await page.goto('/identities')
  await page.getByRole('link', { name: 'app', exact: true }).click()
  await page.getByRole('heading', { name: 'app', level: 1 }).waitFor()
  await page.getByRole('table', { name: 'Its credentials by name' }).waitFor()
  const identity = page.getByRole('region', { name: 'To the identity' })
  const credentials = page.getByRole('region', { name: 'To its credentials' })
  await identity.getByText('Identity entered').waitFor()
  await credentials.getByText('Credential entered in the inventory').first().waitFor()
  const added = credentials.getByRole('listitem').filter({ hasText: 'Credential entered' }).first()
  await added.getByText('Details').click()
  await added.getByText('credential.added').waitFor()
  // Side by side.
  const [left, right] = [await identity.boundingBox(), await credentials.boundingBox()]
  expect((left?.x ?? 0) + (left?.width ?? 0)).toBeLessThan(right?.x ?? 0)
  expect(left?.y).toBe(right?.y)
  await page.goto('/identities?kind=workload')
  await page.getByRole('link', { name: 'orders-api' }).click()
  // Not in the data of its timeline, which may be there by now.
  await page.getByText(HOSTILE, { exact: true }).waitFor()
})

test('times are shown in the zone of the reader, with UTC on hover', async () => {
  const page = await lab.page(ada)
  await page.goto('/identities')
  await page.getByRole('link', { name: 'grace' }).click()
  const time = page.getByRole('region', { name: 'Record' }).locator('time').first()
  const at = await time.getAttribute('datetime')
  expect(await time.getAttribute('title')).toBe(`${at?.slice(0, 19).replace('T', ' ')} UTC`)
  const local = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'Asia/Kolkata' })
  expect(await time.textContent()).toBe(local.format(new Date(at ?? '')))
})

test('the keyboard alone leads from the start to the suspension of an identity', async () => {
  const page = await lab.page(ada)
  await page.goto('/identities?prefix=grace')
  await page.getByRole('link', { name: 'grace' }).waitFor()
  await page.keyboard.press('Tab')
  const skip = page.getByRole('link', { name: 'Skip to the content' })
  expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the content')
  expect((await skip.boundingBox())?.y).toBeGreaterThanOrEqual(0)
  await page.keyboard.press('Enter')
  await tabTo(page, 'grace')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'grace', level: 1 }).waitFor()
  await tabTo(page, 'Suspend…')
  expect(await page.evaluate(`getComputedStyle(document.activeElement).outlineStyle`)).toBe('solid')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Suspend grace' }).waitFor()
  await tabTo(page, '', 'TEXTAREA')
  await page.keyboard.type('on leave')
  await tabTo(page, 'Suspend')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'grace', level: 1, exact: true }).waitFor()
  await page.getByText('suspended', { exact: true }).first().waitFor()
  expect((await lab.server.get('/v1/identities/grace')).body.status).toBe('suspended')
  await page.getByRole('region', { name: 'To the identity' }).getByText('Identity suspended').waitFor()
})

/** Presses Tab until what has the focus has this text; fails after a round. */
async function tabTo(page: Page, text: string, tag = ''): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab')
    const at = await page.evaluate('[document.activeElement.textContent.trim(), document.activeElement.tagName]')
    const [found, element] = at as [string, string]
    if (tag === '' ? found === text : element === tag) return
  }
  throw new Error(`the keyboard does not reach ${text || tag}`)
}

test('whom suspension befell cannot go on: the next request leads to the login', async () => {
  const other = await lab.person('joan', 'auditor')
  const page = await lab.page(other)
  await page.goto('/identities')
  await page.getByRole('link', { name: 'joan' }).first().waitFor()
  await lab.server.post('/v1/identities/joan/suspend', { reason: 'left' })
  await page.getByRole('link', { name: 'ada' }).click()
  await page.getByRole('heading', { name: 'Log in' }).waitFor()
})

const ROOMS = ['/login', '/identities', '/identities/app', '/identities/app/offboard', '/me']

test.each(['light', 'dark'] as const)('every room can be read on a telephone and in %s colours', async (colorScheme) => {
  const page = await lab.page(ada, { colorScheme, viewport: { width: 390, height: 844 } })
  for (const room of ROOMS) {
    await page.goto(room)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.waitForLoadState('networkidle')
    expect(await overflow(page), room).toBe(0)
    expect(await lowContrast(page), room).toEqual([])
  }
})
