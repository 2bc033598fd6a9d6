/** Notices against a real HTTP receiver and a real mail server. */
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { makeAuthority } from '../../test/lab/certificates.ts'
import { AddressGuard, makeCtx, newId, Secret } from '../kernel/index.ts'
import { rotateKek } from '../keys/index.ts'
import { bypassApproval, decideApproval, requestApproval, withdrawApproval } from './approval.actions.ts'
import { approvalDigest } from './approval.model.ts'
import { sweepApprovals } from './approval.sweep.ts'
import {
  addChannel,
  addTeamMembers,
  listDeliveries,
  readChannels,
  removeChannel,
  rewrapChannels,
  runNotifier,
  sendDue,
  suspendIdentity,
  testChannel,
} from './index.ts'
import { backoffSeconds, checkChannel, isMailAddress } from './notify.model.ts'
import { claimDue } from './notify.store.ts'
import { sendOne } from './notify.worker.ts'
import {
  ada,
  addMail,
  addWebhook,
  ask,
  asked,
  asker,
  authority,
  bob,
  code,
  crew,
  ctx,
  db,
  deliveries,
  forward,
  type Got,
  type GotMail,
  joinPerson,
  KEY,
  LINK,
  mailServer,
  may,
  nowMs,
  PASSWORD,
  parts,
  person,
  receiver,
  soon,
  tx,
} from './testing.ts'

test('a webhook gets one signed message that says who may decide and where to look, and nothing of what it is', async () => {
  const { got, url } = await receiver()
  await addWebhook(url)
  const id = await ask()
  await sendDue(parts, ctx)
  expect(got).toHaveLength(1)
  const [{ headers, body }] = got as [Got]
  const signature = KEY.reveal((key) => createHmac('sha256', key).update(`${headers['rekey-timestamp']}.${body}`).digest('hex'))
  expect(headers['rekey-signature']).toBe(`v1=${signature}`)
  expect(Number(headers['rekey-timestamp'])).toBe(Math.floor(nowMs / 1000))
  const message = JSON.parse(body)
  expect(message).toMatchObject({ v: 1, event: 'requested', delivery: headers['rekey-delivery'] })
  expect(message.approval).toMatchObject({ id, link: `https://rekey.example.com/console/approvals/${id}`, digest: approvalDigest(asked) })
  expect(message.approvers.map((one: { id: string }) => one.id)).toEqual([ada, bob].sort())
  expect(body).not.toContain('secret plan')
  expect((await deliveries(id)).map(({ state }) => state)).toEqual(['sent'])
})

test('each approver gets a mail with a link and no secret', async () => {
  const { got, port } = await mailServer()
  await addMail(port)
  const id = await ask()
  await sendDue(parts, ctx)
  expect(got.flatMap(({ to }) => to).sort()).toEqual(['ada@example.com', 'bob@example.com'])
  for (const { text, from } of got) {
    expect(from).toBe('rekey@example.com')
    expect(text).toContain(`/approvals/${id}`)
    expect(text).toMatch(/^Auto-Submitted: auto-generated/im)
    expect(text).toMatch(/^Message-ID: <[0-9a-f-]{36}@example\.com>/im)
    expect(text).not.toContain('secret plan')
    expect(text).not.toContain(approvalDigest(asked))
  }
})

test('what somebody called themselves or their thing becomes no header and no line of its own', async () => {
  const { got, port } = await mailServer()
  await addMail(port)
  const subject = 'ada\r\nBcc: eve@example.com\r\n\r\nhello'
  await ask({ subject, requestedBy: { ...person(asker), name: 'Grace\nBcc: eve@example.com' } })
  await sendDue(parts, ctx)
  const [{ text, to }] = got as [GotMail]
  expect(to).toHaveLength(1)
  const [head = '', body = ''] = text.split(/\r\n\r\n/, 2)
  expect(head).not.toContain('eve')
  expect(body).not.toMatch(/^Bcc/m)
})

test('a mail address that is more than one plain address is not written to', async () => {
  const { got, port } = await mailServer()
  await addMail(port)
  const bad = ['eve@example.com,ada@example.com', 'a b@example.com', '<ada@example.com>', 'no address']
  const members = await Promise.all([...bad, null].map((email) => joinPerson(email)))
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: members }))
  const id = await ask()
  await sendDue(parts, ctx)
  expect(got).toHaveLength(2)
  const failed = (await deliveries(id)).filter(({ state }) => state === 'failed')
  expect(failed).toHaveLength(5)
  expect(new Set(failed.map(({ fault }) => fault))).toEqual(
    new Set(['the mail address of the person is not one', 'the person has no mail address']),
  )
  for (const text of ['a@b\r\nRCPT TO:<c@d>', 'a@b c', 'a@', '@b', 'a@-b', 'a"b@c', 'ä@example.com'])
    expect(isMailAddress(text)).toBe(false)
  fc.assert(fc.property(fc.string(), (text) => !isMailAddress(text) || /^[\x21-\x7e]+$/.test(text)))
})

test('with a user, the password goes over TLS only, to a server with the right certificate', async () => {
  const secure = await mailServer({ secure: true, ...authority.issue({ hosts: ['127.0.0.1'] }), authOptional: false })
  const upgraded = await mailServer({ ...authority.issue({ hosts: ['127.0.0.1'] }), authOptional: false })
  await addMail(secure.port, { tls: 'implicit', user: 'rekey', ca: authority.ca }, PASSWORD)
  await addMail(upgraded.port, { tls: 'starttls', user: 'rekey', ca: authority.ca }, PASSWORD)
  await ask()
  await sendDue(parts, ctx)
  for (const { got } of [secure, upgraded]) {
    expect(got).toHaveLength(2)
    expect(got.every((mail) => mail.secure && mail.user === 'rekey')).toBe(true)
  }
})

test('a server without TLS, or with a certificate that nobody vouches for, gets neither password nor mail', async () => {
  const asked: string[] = []
  const plain = await mailServer({
    disabledCommands: ['STARTTLS'],
    onAuth: ({ username }, _session, done) => {
      asked.push(String(username))
      done(new Error('no'))
    },
  })
  const stranger = await mailServer({ secure: true, ...authority.issue({ hosts: ['elsewhere.example.com'] }) })
  const first = await addMail(plain.port, { tls: 'starttls', user: 'rekey' }, PASSWORD)
  const second = await addMail(stranger.port, { tls: 'implicit', user: 'rekey', ca: authority.ca }, PASSWORD)
  expect(await testChannel(parts, ctx, may(), first.name)).toMatch(/mail server/)
  expect(await testChannel(parts, ctx, may(), second.name)).toMatch(/mail server could not be reached/)
  expect([...asked, ...plain.got, ...stranger.got]).toEqual([])
})

test('killed between sending and marking: it is sent again with the same delivery id and the same body', async () => {
  const { got, url } = await receiver()
  await addWebhook(url)
  const id = await ask()
  const [claimed] = await claimDue(db.store, 10)
  if (claimed === undefined) throw new Error('nothing was due')
  await sendOne(parts, ctx, claimed)
  // The process is gone here. While its claim holds, nobody sends; then somebody does.
  await sendDue(parts, ctx)
  expect(got).toHaveLength(1)
  await db.store.query("update notify_delivery set claimed_until = now() - interval '1 second' where approval_id = $1", [id])
  await sendDue(parts, ctx)
  expect(got).toHaveLength(2)
  expect(got[1]?.headers['rekey-delivery']).toBe(got[0]?.headers['rekey-delivery'])
  expect(got[1]?.body).toBe(got[0]?.body)
  expect(await deliveries(id)).toMatchObject([{ state: 'sent', attempts: 2 }])
})

test('several notifiers at once send each notice once', async () => {
  const { got, url } = await receiver()
  await addWebhook(url)
  for (let n = 0; n < 12; n++) await ask({ subject: `thing ${n}` })
  for (let round = 0; round < 3; round++) await Promise.all([sendDue(parts, ctx), sendDue(parts, ctx), sendDue(parts, ctx)])
  expect(got).toHaveLength(12)
  expect(new Set(got.map(({ headers }) => headers['rekey-delivery'])).size).toBe(12)
})

test('what fails is tried again with longer and longer waits, and then shown as failed, on record', async () => {
  let status = 503
  const { got, url } = await receiver({ status: () => status })
  await addWebhook(url)
  const id = await ask()
  await sendDue(parts, ctx)
  expect(await sendDue(parts, ctx), 'it waits').toBe(0)
  expect(await deliveries(id)).toMatchObject([{ state: 'waiting', attempts: 1, fault: 'the webhook answered with status 503' }])
  for (let n = 0; n < 12; n++) {
    await soon()
    await sendDue(parts, ctx)
  }
  expect(got).toHaveLength(10)
  expect(await deliveries(id)).toMatchObject([{ state: 'failed', attempts: 10 }])
  const failed = await db.store.query(
    "select from evidence_event where body::jsonb ->> 'type' = 'notice.failed' and body like '%' || $1 || '%'",
    [id],
  )
  expect(failed).toHaveLength(1)
  const page = await listDeliveries(db.store, { state: 'failed', after: null, limit: 10 })
  expect(page[0]).toMatchObject({ approval: id, fault: 'the webhook answered with status 503' })
  status = 200
  const again = await ask()
  await sendDue(parts, ctx)
  expect(await deliveries(again)).toMatchObject([{ state: 'sent' }])
  expect([1, 2, 9, 10].map(backoffSeconds)).toEqual([20, 40, 3600, 3600])
})

test('a redirect is not followed', async () => {
  const elsewhere = await receiver()
  const { url } = await receiver({ status: () => 307, location: elsewhere.url })
  const { name } = await addWebhook(url)
  expect(await testChannel(parts, ctx, may(), name)).toBe('the webhook answered with status 307')
  expect(elsewhere.got).toEqual([])
})

test('refused addresses are not connected to, also when a name stands for one', async () => {
  const { got, url } = await receiver()
  const guarded = { ...parts, guard: new AddressGuard(['127.0.0.0/8', '::1/128']) }
  const { name } = await addWebhook(url)
  expect(await testChannel(guarded, ctx, may(), name)).toBe('Rekey does not connect to 127.0.0.1')
  const named = await addWebhook(url.replace('http://127.0.0.1', 'https://localhost'))
  expect(await testChannel(guarded, ctx, may(), named.name)).toMatch(/^Rekey does not connect to/)
  const metadata = await addWebhook('https://169.254.169.254/latest')
  expect(await testChannel(parts, ctx, may(), metadata.name)).toBe('Rekey does not connect to 169.254.169.254')
  const { name: mail } = await addMail(25, { host: '169.254.169.254', tls: 'implicit' })
  expect(await testChannel(parts, ctx, may(), mail)).toBe('Rekey does not connect to 169.254.169.254')
  expect(got).toEqual([])
})

test('a webhook over TLS with a certificate of one’s own authority; with another it gets nothing', async () => {
  const { got, url } = await receiver({ tls: true })
  const right = await addWebhook(url, authority.ca)
  expect(await testChannel(parts, ctx, may(), right.name)).toBeNull()
  expect(got).toHaveLength(1)
  const wrong = await addWebhook(url, makeAuthority().ca)
  expect(await testChannel(parts, ctx, may(), wrong.name)).toMatch(/^the webhook could not be reached/)
  expect(got).toHaveLength(1)
})

test('faults quote nothing of the other side', async () => {
  const { port } = await mailServer({ refuse: true })
  const { name } = await addMail(port)
  expect(await testChannel(parts, ctx, may(), name)).toBe('the mail server answered with 452')
})

test('who has decided, left or is suspended is not told any more; a request that ended is not told of', async () => {
  const { got, port } = await mailServer()
  await addMail(port)
  const id = await ask({ factors: [{ team: crew, count: 2, aal: 2, passkey: false }] })
  const input = { decision: 'approve', reason: 'fine', digest: approvalDigest(asked), assertion: null } as const
  await tx((tx) => decideApproval(tx, ctx, person(ada), id, input))
  await tx((tx) => suspendIdentity(tx, ctx, bob, 'gone'))
  const withdrawn = await ask({ factors: [{ team: crew, count: 1, aal: 2, passkey: false }] })
  await tx((tx) => withdrawApproval(tx, ctx, person(asker), withdrawn, 'never mind'))
  await sendDue(parts, ctx)
  expect(got).toEqual([])
  expect((await deliveries(id)).map(({ state }) => state)).toEqual(['dropped', 'dropped'])
  expect((await deliveries(withdrawn)).map(({ state }) => state)).toEqual(['dropped'])
})

test('who has not decided is reminded at half of the time that is left, and not for ever', async () => {
  const { got, port } = await mailServer()
  await addMail(port)
  const id = await ask({ factors: [{ team: crew, count: 2, aal: 2, passkey: false }] })
  await sendDue(parts, ctx)
  const input = { decision: 'approve', reason: 'fine', digest: approvalDigest(asked), assertion: null } as const
  await tx((tx) => decideApproval(tx, ctx, person(ada), id, input))
  got.length = 0
  for (let hour = 0; hour < 23; hour++) {
    forward(3_600_000)
    await sweepApprovals(db.store, ctx)
    while ((await sendDue(parts, ctx)) > 0);
  }
  // At 12, 18, 21 and 23 of 24 hours: each looks once an hour here.
  const mine = got.filter(({ text }) => text.includes(id))
  expect(mine.map(({ to }) => to)).toEqual(Array.from({ length: 4 }, () => ['bob@example.com']))
  expect(mine.every(({ text }) => text.includes('still asked for'))).toBe(true)
})

test('everybody who was skipped by a bypass is told, also who had not been reached before', async () => {
  const { got, port } = await mailServer()
  await addMail(port)
  const id = await ask()
  const eve = await joinPerson()
  await tx((tx) => bypassApproval(tx, ctx, person(eve), id, { reason: 'the building is on fire', digest: approvalDigest(asked) }))
  await sendDue(parts, ctx)
  expect(got.map(({ to }) => to[0]).sort()).toEqual(['ada@example.com', 'bob@example.com'])
  for (const { text } of got) expect(text).toContain('the building is on fire')
})

test('notices are written with the request or not at all', async () => {
  const { url } = await receiver()
  await addWebhook(url)
  let id = ''
  await expect(
    tx(async (tx) => {
      id = await requestApproval(tx, ctx, {
        ...asked,
        factors: [{ team: crew, count: 1, aal: 2, passkey: false }],
        expiresSeconds: 86_400,
        requestedBy: person(asker),
      })
      throw new Error('what asked for it failed')
    }),
  ).rejects.toThrow('failed')
  expect(await deliveries(id)).toEqual([])
})

test('secrets of channels are sealed, wrapped again with a new key, and destroyed with the channel', async () => {
  const { got, url } = await receiver()
  const { id, name } = await addWebhook(url)
  expect(JSON.stringify(await readChannels(db.store))).not.toContain(KEY.revealText((text) => text))
  const wrapped = await rotateKek({ ...parts, areas: [rewrapChannels] }, ctx, { fresh: true })
  expect(wrapped).toBeGreaterThan(0)
  expect(await testChannel(parts, ctx, may(), name)).toBeNull()
  expect(got).toHaveLength(1)
  await removeChannel(parts, ctx, may(), name)
  expect(await db.store.query('select sealed, wrapped_key, kek_id from notify_channel where id = $1', [id])).toEqual([
    { sealed: null, wrapped_key: null, kek_id: null },
  ])
  await expect(removeChannel(parts, ctx, may(), name)).rejects.toSatisfy(code('not_found'))
  await expect(testChannel(parts, ctx, may(), name)).rejects.toSatisfy(code('not_found'))
})

test('channels that would send in the clear, or show a secret, are refused', async () => {
  const bad = [
    'http://example.com/',
    'http://localhost.example.com/',
    'http://127.0.0.1.example.com/',
    'ftp://example.com/',
    'https://user:secret@example.com/',
    'https://example.com/#x',
    'example.com',
    'http://10.0.0.1/',
  ]
  for (const url of [...bad, 'http://localhost/'])
    expect(() => checkChannel({ kind: 'webhook', settings: { url, link: LINK, ca: null } }), url).toThrow()
  for (const link of bad) expect(() => checkChannel({ kind: 'webhook', settings: { url: LINK, link, ca: null } }), link).toThrow()
  for (const url of ['http://127.0.0.1:9/', 'http://[::1]/x', 'https://hooks.example.com/a?b=c']) {
    expect(() => checkChannel({ kind: 'webhook', settings: { url, link: LINK, ca: null } }), url).not.toThrow()
  }
  // A link is opened by a browser: there the console is called localhost, since passkeys do not work at an address.
  expect(() => checkChannel({ kind: 'webhook', settings: { url: LINK, link: 'http://localhost:7395', ca: null } })).not.toThrow()
  await expect(addMail(25, { host: 'localhost' })).rejects.toSatisfy(code('bad_input'))
  await expect(addMail(25, { from: 'rekey@example.com\r\nBcc: x@y' })).rejects.toSatisfy(code('bad_input'))
  await expect(addMail(25, { user: 'rekey' })).rejects.toSatisfy(code('bad_input'))
  const short = { name: newId(), kind: 'webhook', secret: Secret.fromText('short'), settings: { url: LINK, link: LINK, ca: null } } as const
  await expect(addChannel(parts, ctx, may(), short)).rejects.toSatisfy(code('bad_input'))
})

test('the notifier sends what is asked while it runs, and stops', async () => {
  const { got, url } = await receiver()
  await addWebhook(url)
  const stopping = new AbortController()
  const running = runNotifier(parts, makeCtx('test', 'test', { signal: stopping.signal, clock: ctx.clock }))
  const id = await ask()
  await expect.poll(() => got.filter(({ body }) => body.includes(id)).length, { timeout: 20_000 }).toBe(1)
  stopping.abort()
  await running
})
