import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { addTeamMembers, putTeam, requestApproval } from '../../src/identity/index.ts'
import { makeCtx, newId } from '../../src/kernel/index.ts'
import { principal } from '../../src/policy/testing.ts'
import { authenticator, ConsoleLab, lowContrast, overflow, type Person } from './kit.ts'

let lab: ConsoleLab
let ada: Person
let grace: Person
let team: string
const ctx = makeCtx('test', 'test')

beforeAll(async () => {
  lab = await ConsoleLab.start()
  ada = await lab.person('ada', 'approver')
  grace = await lab.person('grace', 'approver')
  team = await lab.server.parts.store.inTx((tx) => putTeam(tx, ctx, { name: 'guardians' }))
  await lab.server.parts.store.inTx((tx) => addTeamMembers(tx, ctx, team, { identities: [ada.id, grace.id] }))
})
afterAll(() => lab?.stop())
afterEach(() => expect(lab.misdeeds()).toEqual([]))

const WORDS = 'End the identity joan for good.\nReason given: "left \u202egnorw"'

async function ask(passkey: boolean, count = 1): Promise<string> {
  const by = principal({ id: newId(), kind: 'token', name: 'pipeline' })
  const what = { action: 'identity:offboard', subject: 'joan', what: { identity: newId(), reason: 'left' }, words: WORDS } as const
  const factors = [{ team, count, aal: 2, passkey }] as const
  return lab.server.parts.store.inTx((tx) => requestApproval(tx, ctx, { ...what, factors, expiresSeconds: 3_600, requestedBy: by }))
}

const rowOf = async (id: string) =>
  (await lab.server.parts.store.query<{ state: string }>('select state from approval where id = $1', [id]))[0]
const decisionsOf = (id: string) =>
  lab.server.parts.store.query<{ name: string; decision: string; passkey: string | null }>(
    'select name, decision, passkey from approval_decision where approval_id = $1',
    [id],
  )

/** Logs in and enrols a passkey in this browser. */
async function withPasskey(page: Page, synced = false): Promise<void> {
  await authenticator(page, { synced })
  await page.goto('/me')
  await page.getByLabel('Name of another passkey').fill('laptop')
  await page.getByRole('button', { name: 'Enrol it' }).click()
  await page.getByText(/^Enrolled\./).waitFor()
}

test('a request shows exactly what is approved, in words and as data with its digest, who may and who did', async () => {
  const id = await ask(false, 2)
  const page = await lab.page(ada)
  await page.goto('/approvals')
  await page.getByRole('link', { name: 'identity:offboard · joan' }).first().click()
  await page.getByRole('heading', { name: 'identity:offboard · joan' }).waitFor()
  const what = page.getByRole('region', { name: 'Exactly this is approved' })
  expect(await what.getByText('End the identity joan for good.').count()).toBe(1)
  // What would turn the text around is shown for what it is.
  expect(await what.textContent()).toContain('\\u{202e}')
  expect(await what.textContent()).not.toContain('\u202e')
  await what.getByText('As data').click()
  await what.getByText('"reason": "left"').waitFor()
  const [row] = await lab.server.parts.store.query<{ digest: string }>('select digest from approval where id = $1', [id])
  expect(await what.locator('code').textContent()).toBe(row?.digest)
  const who = page.getByRole('region', { name: 'Who may approve it' })
  expect(await who.textContent()).toMatch(/2 of guardians.*lacks 2.*ada, grace/s)
  await page.getByLabel('Reason, for the record').fill('I know of it')
  await page.getByRole('button', { name: 'Approve', exact: true }).click()
  await page.getByRole('region', { name: 'Who has decided' }).getByText('I know of it').waitFor()
  expect(await rowOf(id)).toEqual({ state: 'requested' })
  // It may be taken back as long as it counts for nothing yet.
  await page.getByRole('region', { name: 'Take your decision back' }).getByLabel('Reason, for the record').fill('asked again')
  await page.getByRole('button', { name: 'Take back' }).click()
  await page.getByText('(taken back)').waitFor()
})

test('where a passkey must sign, it confirms this very digest, and what it confirms is shown before', async () => {
  const id = await ask(true)
  const page = await lab.page(ada)
  await withPasskey(page)
  await page.goto(`/approvals/${id}`)
  await page.getByLabel('Reason, for the record').fill('checked with her manager')
  await page.getByRole('button', { name: 'Approve with a passkey' }).click()
  const dialog = page.getByRole('dialog', { name: 'What your passkey confirms' })
  await dialog.waitFor()
  const digest = await page.getByRole('region', { name: 'Exactly this is approved' }).locator('code').textContent()
  expect(await dialog.textContent()).toContain(digest?.slice(0, 16))
  expect(await lowContrast(page)).toEqual([])
  // Escape leaves it undone.
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  expect(await decisionsOf(id)).toEqual([])
  await page.getByRole('button', { name: 'Approve with a passkey' }).click()
  await dialog.getByRole('button', { name: 'Use the passkey' }).click()
  await page.getByText('signed with a passkey').waitFor()
  expect(await decisionsOf(id)).toEqual([{ name: 'ada', decision: 'approve', passkey: expect.any(String) }])
  expect(await rowOf(id)).toEqual({ state: 'approved' })
})

test('a login that is too old is stepped up on the spot, and what was asked is done then', async () => {
  const id = await ask(false)
  const page = await lab.page(grace)
  await withPasskey(page)
  await lab.server.parts.store.query("update session set authenticated_at = now() - interval '20 minutes' where identity_id = $1", [
    grace.id,
  ])
  await page.goto(`/approvals/${id}`)
  await page.getByLabel('Reason, for the record').fill('fine')
  await page.getByRole('button', { name: 'Approve', exact: true }).click()
  const alert = page.getByRole('alert')
  await alert.getByText(/This needs a login of level AAL2, at most 15 minutes old\. Nothing has been done yet\./).waitFor()
  expect(await decisionsOf(id)).toEqual([])
  await alert.getByRole('button', { name: 'Confirm with a passkey' }).click()
  await page.getByRole('region', { name: 'Who has decided' }).getByText('fine').waitFor()
  expect(await rowOf(id)).toEqual({ state: 'approved' })
  await page.getByText('AAL3').first().waitFor()
})

test('rejecting ends it, and a page that shows what is over offers nothing', async () => {
  const id = await ask(false)
  const page = await lab.page(ada)
  await page.goto(`/approvals/${id}`)
  // No reason, no decision.
  await page.getByRole('button', { name: 'Reject' }).click()
  expect(await decisionsOf(id)).toEqual([])
  await page.getByLabel('Reason, for the record').fill('not without her manager')
  await page.getByRole('button', { name: 'Reject' }).click()
  await page.getByText('rejected', { exact: true }).first().waitFor()
  expect(await rowOf(id)).toEqual({ state: 'rejected' })
  expect(await page.getByRole('button', { name: 'Approve' }).count()).toBe(0)
})

test('of a request that is not one’s own business there is nothing to see', async () => {
  const id = await ask(false)
  const joan = await lab.person('joan')
  const page = await lab.page(joan)
  await page.goto(`/approvals/${id}`)
  const text = await page.getByRole('alert').textContent()
  await page.goto(`/approvals/${newId()}`)
  expect(await page.getByRole('alert').textContent()).toBe(text)
})

test.each(['light', 'dark'] as const)('approvals can be read on a telephone in %s colours', async (colorScheme) => {
  const id = await ask(true, 2)
  const page = await lab.page(ada, { colorScheme, viewport: { width: 390, height: 844 } })
  for (const room of ['/approvals', `/approvals/${id}`]) {
    await page.goto(room)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.waitForLoadState('networkidle')
    expect(await overflow(page)).toBe(0)
    expect(await lowContrast(page)).toEqual([])
  }
})
