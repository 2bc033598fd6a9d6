/** Approvers whom no notice reaches: whoever asks hears of them, and they are a finding. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Asker, done, People } from './routes/tokens/testing.ts'

let people: People
let ada: Asker
let joan: string
beforeAll(async () => {
  people = await People.start()
  ada = await people.person('ada', 'security-admin')
  const bob = await people.person('bob', 'security-admin')
  await people.server.post(`/v1/identities/${bob.id}/move`, { labels: { email: 'bob@example.com' } })
  const crew = await people.team('crew', ada, bob)
  joan = (await people.made('/v1/identities', { name: 'joan', kind: 'human' })).id
  await people.made('/v1/approval-rules', { action: 'identity:offboard', factors: [{ team: crew, count: 2 }], reason: 'two pairs of eyes' })
})
afterAll(() => people.stop())

const ask = async (reason: string) => (await people.server.post(`/v1/identities/${joan}/offboard`, { reason })).body
const findings = async () =>
  done(await people.server.get('/v1/findings?kind=unreachable_approver')).items.map(({ subject }: { subject: string }) => subject)

test('without a channel nobody is told; by webhooks all are; with a mail server those without an address are named', async () => {
  expect(await ask('one')).toMatchObject({
    code: 'approval_required',
    detail: expect.stringMatching(/Nobody was told: there is no channel/),
  })
  expect(await findings()).toEqual([])

  const link = 'https://rekey.example.com'
  const key = Buffer.from('a key of sixteen bytes or more').toString('base64')
  await people.made('/v1/notify/channels', { name: 'chat', secret: key, webhook: { url: 'https://hooks.example.com/x', link } })
  expect((await ask('two')).detail).toBe('Others must approve exactly this first; they have been asked.')
  expect(await findings()).toEqual([])

  const smtp = { host: '127.0.0.1', port: 2525, tls: 'none', from: 'rekey@example.com', link }
  await people.made('/v1/notify/channels', { name: 'mail', smtp })
  expect((await ask('three')).detail).toMatch(/No mail reaches ada: they have no mail address\. Tell them yourself\.$/)
  expect(await findings()).toEqual(['ada'])
  // For as long as she is asked, not for as long as she is known.
  const [{ changedAt }] = done(await people.server.get('/v1/approval-rules')).items
  const [{ since }] = done(await people.server.get('/v1/findings?kind=unreachable_approver')).items
  expect(since >= changedAt, `${since} is not before ${changedAt}`).toBe(true)
  await people.server.post(`/v1/identities/${ada.id}/move`, { labels: { email: 'no address' } })
  expect(await findings()).toEqual(['ada'])
  await people.server.post(`/v1/identities/${ada.id}/move`, { labels: { email: 'ada@example.com' } })
  expect(await findings()).toEqual([])
  expect((await ask('four')).detail).toBe('Others must approve exactly this first; they have been asked.')
})
