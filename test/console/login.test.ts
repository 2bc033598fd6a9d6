import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { authenticator, ConsoleLab, lowContrast } from './kit.ts'

let lab: ConsoleLab
beforeAll(async () => {
  lab = await ConsoleLab.start()
})
afterAll(() => lab?.stop())
afterEach(() => expect(lab.misdeeds()).toEqual([]))

async function codeFor(name: string): Promise<string> {
  const made = await lab.server.post('/v1/login/bootstrap', { name })
  expect(made.status).toBe(201)
  return made.body.code
}

test('a one-time code enrols a passkey; with the passkey one logs out and in again, and enrols another', async () => {
  const page = await (await lab.context()).newPage()
  await authenticator(page)
  await page.goto('/login')
  await page.getByRole('link', { name: 'I have an enrolment code' }).click()
  await page.getByLabel('Enrolment code').fill(await codeFor('first-admin'))
  await page.getByLabel('Name of the passkey').fill('laptop')
  await page.getByRole('button', { name: 'Enrol' }).click()
  await page.getByRole('heading', { name: 'Identities' }).waitFor()
  await page.getByText('AAL3').waitFor()
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('heading', { name: 'Log in' }).waitFor()
  await page.goto('/me')
  await page.getByRole('heading', { name: 'Log in' }).waitFor()
  await page.getByRole('button', { name: 'Use a passkey' }).click()
  // Where one wanted to go.
  await page.getByRole('heading', { name: 'first-admin' }).waitFor()
  const passkeys = page.getByRole('table', { name: 'Your passkeys' })
  await passkeys.getByText('laptop').first().waitFor()
  expect(await passkeys.getByText('AAL3: bound to its device').count()).toBe(1)
  expect(await page.getByRole('table', { name: 'Your sessions' }).getByText('this one').count()).toBe(1)
  // No column is so narrow that a word of ours is broken in it.
  await page.getByRole('table', { name: 'Your sessions' }).getByText('a passkey').first().waitFor()
  const pieces = await page.evaluate(`(() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      const at = text.parentElement.closest('td') === null ? -1 : text.data.indexOf('passkey')
      if (at === -1) continue
      const word = document.createRange()
      word.setStart(text, at)
      word.setEnd(text, at + 'passkey'.length)
      return word.getClientRects().length
    }
  })()`)
  expect(pieces).toBe(1)
  await page.getByLabel('Name of a new passkey').fill('key')
  await authenticator(page, { transport: 'usb' })
  await page.getByRole('button', { name: 'Enrol it' }).click()
  await page.getByText('Enrolled. It proves AAL3.').waitFor()
  await passkeys.getByRole('row', { name: 'key AAL3' }).waitFor()
})

test('a person takes a session to the command line: it is shown once, and is theirs', async () => {
  const person = await lab.person('of-the-command-line', 'auditor')
  const page = await lab.page(person)
  await page.goto('/me')
  await page.getByRole('button', { name: 'Begin a session for the command line' }).click()
  await page.getByText('This is shown once').waitFor()
  const token = (await page.locator('code', { hasText: 'rekey-session_' }).textContent()) ?? ''
  const me = await lab.server.send('GET', '/v1/session', { token })
  expect(me.body).toMatchObject({ kind: 'person', id: person.id, aal: 2 })
  expect(await lowContrast(page)).toEqual([])
  await page.reload()
  await page.getByRole('button', { name: 'Begin a session for the command line' }).waitFor()
  expect(await page.content()).not.toContain(token)
})

test('the code in the fragment of an address is taken out of it before anything else sees it', async () => {
  const page = await (await lab.context()).newPage()
  await authenticator(page, { synced: true })
  const code = await codeFor('second-admin')
  const asked: string[] = []
  page.on('request', (request) => asked.push(`${request.url()} ${JSON.stringify(request.headers())}`))
  await page.goto(`/login#code=${code}`)
  await page.getByRole('heading', { name: 'Enrol a passkey' }).waitFor()
  expect(page.url()).toBe(`${lab.origin}/enrol`)
  expect(await page.getByLabel('Enrolment code').inputValue()).toBe(code)
  await page.getByLabel('Name of the passkey').fill('synced')
  await page.getByRole('button', { name: 'Enrol' }).click()
  await page.getByRole('heading', { name: 'Identities' }).waitFor()
  // What may be synced never proves AAL3.
  await page.getByText('AAL2').waitFor()
  expect(asked.join('\n')).not.toContain(code)
})

test('a wrong code is refused in words that say what to do, and nothing is consumed by looking', async () => {
  const page = await (await lab.context()).newPage()
  await authenticator(page)
  await page.goto('/enrol')
  await page.getByLabel('Enrolment code').fill('AAAA-BBBB-CCCC-DDDD')
  await page.getByLabel('Name of the passkey').fill('laptop')
  await page.getByRole('button', { name: 'Enrol' }).click()
  await page.getByRole('alert').waitFor()
  expect(await lowContrast(page)).toEqual([])
  expect(await page.getByLabel('Enrolment code').inputValue()).toBe('AAAA-BBBB-CCCC-DDDD')
})

test('without a passkey of this server the login says so, and nobody is logged in', async () => {
  const page = await (await lab.context()).newPage()
  await authenticator(page)
  await page.goto('/login')
  await page.getByRole('button', { name: 'Use a passkey' }).click()
  await page.getByRole('alert').getByText('No passkey was used').waitFor()
  expect((await page.request.get('/v1/session')).status()).toBe(401)
})

test('under an address of numbers the page says where passkeys work', async () => {
  const page = await (await lab.context({ baseURL: lab.server.url })).newPage()
  await page.goto('/login')
  const there = page.getByRole('link', { name: 'localhost' })
  await there.waitFor()
  expect(await there.getAttribute('href')).toBe(`${lab.origin}/login`)
  await page.goto('/login?next=%2Fme')
  await page.getByRole('heading', { name: 'Log in' }).waitFor()
  expect(await there.getAttribute('href')).toBe(`${lab.origin}/login?next=%2Fme`)
})

test('one ends another session of one’s own, and it is over at once', async () => {
  const ada = await lab.person('ada')
  const page = await lab.page(ada)
  const other = await lab.page(ada)
  await other.goto('/me')
  await other.getByRole('heading', { name: 'ada' }).waitFor()
  await page.goto('/me')
  await page.getByRole('button', { name: 'End it' }).click()
  await page.getByRole('button', { name: 'End it' }).waitFor({ state: 'detached' })
  expect((await other.request.get('/v1/session')).status()).toBe(401)
  await other.reload()
  await other.getByRole('heading', { name: 'Log in' }).waitFor()
})
