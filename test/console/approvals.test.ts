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

async function ask(passkey: boolean, count = 1, over: { readonly team?: string; readonly aal?: 3 } = {}): Promise<string> {
  const by = principal({ id: newId(), kind: 'token', name: 'pipeline' })
  const what = { action: 'identity:offboard', subject: 'joan', what: { identity: newId(), reason: 'left' }, words: WORDS } as const
  const factors = [{ team, count, aal: 2, passkey, ...over }] as const
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
  await page.getByLabel('Name of a new passkey').fill('laptop')
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
  // To approve and to reject are two acts, and it says which.
  expect(await dialog.textContent()).toContain('What your passkey confirms: you approve')
  expect(await dialog.textContent()).toContain(`Approve the request ${id}`)
  expect(await dialog.textContent()).toContain('identity:offboard · joan')
  expect(await lowContrast(page)).toEqual([])
  // Escape leaves it undone.
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  expect(await decisionsOf(id)).toEqual([])
  await page.getByRole('button', { name: 'Approve with a passkey' }).click()
  await dialog.getByRole('button', { name: 'Use the passkey' }).click()
  await page.getByText('signed with a passkey').waitFor()
  expect(await decisionsOf(id)).toEqual([{ name: 'ada', decision: 'approve', passkey: expect.any(String) }])
  const [signed] = await lab.server.parts.store.query<{ subject: string }>('select subject from step_up_proof where identity_id = $1', [
    ada.id,
  ])
  expect(signed?.subject).toBe(`approve:${id}`)
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
  await alert.getByText('this is done: approve identity:offboard · joan').waitFor()
  await page.getByRole('button', { name: 'Reject' }).click()
  await alert.getByText('this is done: reject identity:offboard · joan').waitFor()
  await page.getByRole('button', { name: 'Approve', exact: true }).click()
  await alert.getByText('this is done: approve identity:offboard · joan').waitFor()
  expect(await decisionsOf(id)).toEqual([])
  await alert.getByRole('button', { name: 'Confirm with a passkey' }).click()
  await page.getByRole('region', { name: 'Who has decided' }).getByText('fine').waitFor()
  expect(await rowOf(id)).toEqual({ state: 'approved' })
  await page.getByText('AAL3').first().waitFor()
})

test('where the passkey that one has cannot reach the level, it says so and what can, and offers no button that never works', async () => {
  const sue = await lab.person('sue', 'approver')
  const hal = await lab.person('hal', 'approver')
  const strict = await lab.server.parts.store.inTx((tx) => putTeam(tx, ctx, { name: 'strict' }))
  await lab.server.parts.store.inTx((tx) => addTeamMembers(tx, ctx, strict, { identities: [sue.id, hal.id] }))
  const id = await ask(false, 1, { team: strict, aal: 3 })
  for (const [person, words] of [
    [sue, /may be synced to other devices, so it proves AAL2 and never AAL3\. Enrol one that stays on its device/],
    [hal, /You have no passkey here\./],
  ] as const) {
    const page = await lab.page(person)
    if (person === sue) await withPasskey(page, true)
    await page.goto(`/approvals/${id}`)
    await page.getByLabel('Reason, for the record').fill('fine')
    await page.getByRole('button', { name: 'Approve', exact: true }).click()
    const alert = page.getByRole('alert')
    await alert.getByText(words).waitFor()
    expect(await alert.getByRole('button', { name: 'Confirm with a passkey' }).count()).toBe(0)
    expect(await lowContrast(page)).toEqual([])
    await alert.getByRole('link', { name: 'your own page' }).click()
    await page.getByRole('heading', { name: person.name, level: 1 }).waitFor()
  }
  expect(await rowOf(id)).toEqual({ state: 'requested' })
})

test('an approved request leads who asked back to what it was asked for, with exactly its reason', async () => {
  const rule = { action: 'identity:offboard', factors: [{ team, count: 1 }], expiresSeconds: 3600, reason: 'two pairs of eyes' }
  const set = await lab.server.post('/v1/approval-rules', rule)
  expect(set.status, set.text).toBeLessThan(300)
  const lee = await lab.person('lee', 'directory-admin')
  const gone = await lab.person('gone')
  const page = await lab.page(lee)
  await page.goto(`/identities/${gone.id}/offboard`)
  await page.getByLabel('Reason, for the record').fill('ticket 7: "left"')
  await page.getByLabel('Type gone to confirm').fill('gone')
  await page.getByRole('button', { name: 'Offboard', exact: true }).click()
  await page.getByRole('link', { name: 'See the request' }).click()
  await page.getByRole('heading', { name: 'identity:offboard · gone' }).waitFor()
  expect(await page.getByRole('heading', { name: 'Do it now' }).count()).toBe(0)
  const request = new URL(page.url()).pathname.split('/').at(-1) ?? ''
  await page.getByRole('link', { name: 'gone' }).click()
  await page.getByRole('heading', { name: 'gone', level: 1 }).waitFor()
  const other = await lab.page(ada)
  await other.goto(`/approvals/${request}`)
  await other.getByLabel('Reason, for the record').fill('seen the ticket')
  await other.getByRole('button', { name: 'Approve', exact: true }).click()
  await other.getByText('approved', { exact: true }).first().waitFor()
  // To who only approved it nothing is left to do.
  expect(await other.getByRole('heading', { name: 'Do it now' }).count()).toBe(0)
  await page.goto('/approvals?of=requested')
  // Not what others ask.
  await page.getByRole('table').waitFor()
  expect(await page.getByRole('table').getByRole('link').allTextContents()).toEqual(['identity:offboard · gone'])
  await page.getByRole('link', { name: 'identity:offboard · gone' }).click()
  const now = page.getByRole('region', { name: 'Do it now' })
  await now.getByText('ticket 7: "left"').waitFor()
  expect(await lowContrast(page)).toEqual([])
  await now.getByRole('link', { name: 'Offboard gone with this reason…' }).click()
  const reason = page.getByLabel('Reason, for the record')
  await reason.waitFor()
  expect(await reason.inputValue()).toBe('ticket 7: "left"')
  expect(page.url()).not.toContain('ticket')
  await page.getByLabel('Type gone to confirm').fill('gone')
  await page.getByRole('button', { name: 'Offboard', exact: true }).click()
  await page.getByText('offboarded', { exact: true }).first().waitFor()
  expect(await rowOf(request)).toEqual({ state: 'consumed' })
  // What has just happened is not told as what will.
  expect(await page.getByRole('region', { name: 'Record' }).textContent()).toMatch(/Changednow/)
  await lab.server.parts.store.query('delete from approval_rule')
})

test('an address that leads nowhere says so on the console’s own page', async () => {
  const page = await lab.page(ada)
  const answer = await page.goto('/nowhere')
  expect(answer?.status()).toBe(404)
  await page.getByRole('heading', { name: 'There is nothing here' }).waitFor()
  expect(await lowContrast(page)).toEqual([])
  await page.getByRole('link', { name: 'Go to the start' }).click()
  await page.getByRole('heading', { name: 'Approvals' }).waitFor()
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
