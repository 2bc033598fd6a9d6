import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { addTeamMembers, putTeam, requestApproval } from '../../src/identity/index.ts'
import { makeCtx, newId } from '../../src/kernel/index.ts'
import { principal } from '../../src/policy/testing.ts'
import { ConsoleLab, lowContrast, overflow, type Person } from './kit.ts'

let lab: ConsoleLab
let sam: Person
let ada: Person
let root: Person
const ctx = makeCtx('test', 'test')

beforeAll(async () => {
  lab = await ConsoleLab.start()
  sam = await lab.person('sam', 'security-admin')
  ada = await lab.person('ada', 'approver')
  root = await lab.person('root', 'bootstrap-admin')
})
afterAll(() => lab?.stop())
afterEach(() => expect(lab.misdeeds()).toEqual([]))

const textFor = (role: string) =>
  `// The night shift.\npermit (principal in Role::"${role}", action == Action::"rotation:read", resource);\n`

/** Proposes as who is logged in on this page. */
async function propose(page: Page, role: string): Promise<string> {
  const data = { files: [{ name: 'night.cedar', text: textFor(role) }], reason: `${role} may look` }
  const made = await page.request.post('/v1/policies', { data, headers: { 'x-rekey-request': '1', origin: lab.origin } })
  expect(made.status(), await made.text()).toBe(201)
  return (await made.json()).id
}

const activeId = async () => (await lab.server.get('/v1/policies/active')).body.id

test('who did not propose them sees each line that would change, approves with a reason, and they are in force', async () => {
  const proposer = await lab.page(sam)
  const id = await propose(proposer, 'night')
  await proposer.goto(`/policies/${id}`)
  await proposer.getByText('You proposed this: somebody else approves it.').waitFor()
  // One's own approval never counts.
  await proposer.getByLabel('Reason, for the record').fill('it is mine')
  await proposer.getByRole('button', { name: 'Bring into force' }).click()
  await proposer.getByRole('alert').getByText('Who proposed it does not approve it.').waitFor()
  expect(await activeId()).not.toBe(id)
  const page = await lab.page(ada)
  await page.goto('/policies')
  const row = page.getByRole('table').getByRole('row', { name: /night may look/ })
  expect(await row.textContent()).toMatch(/proposed.*sam/)
  await row.getByRole('link').click()
  await page.getByRole('heading', { name: 'night may look' }).waitFor()
  const changes = page.getByRole('region', { name: 'What would change' })
  await changes.getByText('night.cedar: new, 2 lines added').waitFor()
  expect(await changes.textContent()).toContain('+permit (principal in Role::"night"')
  const { body } = await lab.server.get(`/v1/policies/${id}`)
  await changes.getByText(body.digest).waitFor()
  expect(await page.getByRole('button', { name: 'Bypass the approval' }).count()).toBe(0)
  await page.getByLabel('Reason, for the record').fill('looked at both lines')
  await page.getByRole('button', { name: 'Approve exactly these texts' }).click()
  await page.getByText('in force', { exact: true }).waitFor()
  expect(await activeId()).toBe(id)
  const [event] = await lab.server.db.store.query<{ body: string }>(
    "select body from evidence_event where body::jsonb->>'type' = 'policy.approved' order by id desc limit 1",
  )
  expect(JSON.parse(event?.body ?? '').data).toMatchObject({ approvedBy: [ada.id], reason: 'looked at both lines' })
  expect(await page.getByRole('button', { name: 'Approve exactly these texts' }).count()).toBe(0)
})

test('who may bypass is told whom it skips, gives at least ten characters, and it shows for ever', async () => {
  const id = await propose(await lab.page(sam), 'day')
  const page = await lab.page(root)
  await page.goto(`/policies/${id}`)
  const form = page.getByRole('region', { name: 'Bypass the approval' })
  await form.getByText('It skips everybody who may approve policies.').waitFor()
  const act = form.getByRole('button', { name: 'Bypass the approval' })
  await form.getByLabel('Reason, for the record').fill('too short')
  expect(await act.isDisabled()).toBe(true)
  await form.getByLabel('Reason, for the record').fill('everybody else is ill')
  expect(await lowContrast(page)).toEqual([])
  await act.click()
  await page.getByText('It came into force without approval. Reason given: everybody else is ill').waitFor()
  expect(await activeId()).toBe(id)
  expect((await lab.server.get(`/v1/policies/${id}`)).body.bypassReason).toBe('everybody else is ill')
})

test('where a rule names approvers, approving leads to the request, which names whom a bypass skips', async () => {
  const team = await lab.server.parts.store.inTx((tx) => putTeam(tx, ctx, { name: 'guardians' }))
  await lab.server.parts.store.inTx((tx) => addTeamMembers(tx, ctx, team, { identities: [ada.id, sam.id] }))
  const by = principal({ id: newId(), kind: 'token', name: 'pipeline' })
  const what = { action: 'identity:offboard', subject: 'joan', what: { reason: 'left' }, words: 'End joan.' } as const
  const factors = [{ team, count: 2, aal: 2, passkey: false }] as const
  const id = await lab.server.parts.store.inTx((tx) =>
    requestApproval(tx, ctx, { ...what, factors, expiresSeconds: 3_600, requestedBy: by }),
  )
  const page = await lab.page(root)
  await page.goto(`/approvals/${id}`)
  const form = page.getByRole('region', { name: 'Bypass the approval' })
  await form.getByText('you skip').waitFor()
  expect(await form.textContent()).toMatch(/you skip (ada and sam|sam and ada)\. Each of them is told/)
  await form.getByLabel('Reason, for the record').fill('they are both away')
  await form.getByRole('button', { name: 'Bypass the approval' }).click()
  await page.getByRole('region', { name: 'Who has decided' }).getByText('they are both away').waitFor()
  const [row] = await lab.server.parts.store.query<{ state: string }>('select state from approval where id = $1', [id])
  expect(row?.state).toBe('bypassed')
  // Whom no policy lets has no button.
  const other = await lab.page(ada)
  await other.goto(`/approvals/${id}`)
  await other.getByRole('heading', { level: 1 }).waitFor()
  expect(await other.getByRole('button', { name: /Bypass/ }).count()).toBe(0)
})

test('a room that one may not read is not offered, and its address says so', async () => {
  const page = await lab.page(await lab.person('joan'))
  // What she may not read is not where she lands either.
  await page.goto('/')
  await page.getByText('You have no role yet').waitFor()
  await page.getByText('Nothing waits for you.').waitFor()
  expect(new URL(page.url()).pathname).toBe('/approvals')
  expect(await page.getByRole('navigation', { name: 'Rooms' }).getByRole('link').allTextContents()).toEqual(['Approvals'])
  await page.goto('/policies')
  await page.getByRole('alert').getByText('You may not do policy:read.').waitFor()
})

test.each(['light', 'dark'] as const)('policies can be read on a telephone in %s colours', async (colorScheme) => {
  const id = await propose(await lab.page(sam), `phone-${colorScheme}`)
  const page = await lab.page(root, { colorScheme, viewport: { width: 390, height: 844 } })
  for (const room of ['/policies', `/policies/${id}`]) {
    await page.goto(room)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.waitForLoadState('networkidle')
    expect(await overflow(page), room).toBe(0)
    expect(await lowContrast(page), room).toEqual([])
  }
})
