import { expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { principal } from '../policy/testing.ts'
import { bypassApproval, decideApproval, withdrawApproval } from './approval.actions.ts'
import { approvalDigest } from './approval.model.ts'
import { sweepApprovals } from './approval.sweep.ts'
import { joinIdentity, sendDue } from './index.ts'
import { claimDue } from './notify.store.ts'
import { sendOne } from './notify.worker.ts'
import {
  addMail,
  addWebhook,
  ask,
  asked,
  asker,
  bob,
  ctx,
  db,
  deliveries,
  forward,
  joinPerson,
  LINK,
  mailServer,
  parts,
  person,
  receiver,
  tx,
} from './testing.ts'

const decide = (id: string, decision: 'approve' | 'reject', by = bob) =>
  tx((tx) =>
    decideApproval(tx, ctx, person(by), id, { decision, reason: 'secret plan seen', digest: approvalDigest(asked), assertion: null }),
  )

test('who asked is told that it was approved, rejected or expired, with a link and nothing of what it is', async () => {
  const [hook, mail] = [await receiver(), await mailServer()]
  const grace = await joinPerson('grace@example.com')
  await addWebhook(hook.url)
  await addMail(mail.port)
  const mine = { requestedBy: person(grace) }
  const ends = {
    approved: (id: string) => decide(id, 'approve'),
    rejected: (id: string) => decide(id, 'reject'),
    expired: async () => {
      forward(86_400_000)
      await sweepApprovals(db.store, ctx)
    },
  }
  for (const [event, end] of Object.entries(ends)) {
    const id = await ask(mine)
    await sendDue(parts, ctx)
    for (const list of [hook.got, mail.got]) list.splice(0)
    await end(id)
    await sendDue(parts, ctx)
    expect(hook.got.map(({ body }) => JSON.parse(body))).toMatchObject([
      { event, approvers: [], approval: { id, requestedBy: { id: grace }, link: `${LINK}approvals/${id}` } },
    ])
    expect(mail.got.map(({ to }) => to)).toEqual([['grace@example.com']])
    expect(mail.got[0]?.text).toContain(`/approvals/${id}`)
    for (const text of [hook.got[0]?.body, mail.got[0]?.text]) expect(text).not.toContain('secret plan')
    // Another look changes nothing: one end is told once.
    await sweepApprovals(db.store, ctx)
    await sendDue(parts, ctx)
    expect([hook.got.length, mail.got.length]).toEqual([1, 1])
    if (event === 'approved') await tx((tx) => withdrawApproval(tx, ctx, person(grace), id, 'done'))
  }
})

test('killed between sending and marking that it was approved: told again with the same id; withdrawn before: not told', async () => {
  const { got, url } = await receiver()
  await addWebhook(url)
  const id = await ask()
  await sendDue(parts, ctx)
  got.splice(0)
  await decide(id, 'approve')
  const [claimed] = await claimDue(db.store, 10)
  if (claimed === undefined) throw new Error('nothing was due')
  await sendOne(parts, ctx, claimed)
  await db.store.query("update notify_delivery set claimed_until = now() - interval '1 second' where approval_id = $1", [id])
  await sendDue(parts, ctx)
  expect(got.map(({ headers }) => headers['rekey-delivery'])).toEqual([claimed.id, claimed.id])
  expect(got[1]?.body).toBe(got[0]?.body)

  const other = await ask({ subject: 'another' })
  await sendDue(parts, ctx)
  got.splice(0)
  const digest = approvalDigest({ ...asked, subject: 'another' })
  await tx((tx) => decideApproval(tx, ctx, person(bob), other, { decision: 'approve', reason: 'fine', digest, assertion: null }))
  await tx((tx) => withdrawApproval(tx, ctx, person(asker), other, 'not needed'))
  await sendDue(parts, ctx)
  expect(got).toEqual([])
  expect((await deliveries(other)).at(-1)).toMatchObject({ event: 'approved', state: 'dropped', fault: 'the request is not open any more' })
})

test('who asked hears of a bypass by somebody else; a program that asked has no mailbox, and webhooks are told', async () => {
  const [hook, mail] = [await receiver(), await mailServer()]
  await addWebhook(hook.url)
  await addMail(mail.port)
  const grace = await joinPerson('grace@example.com')
  const events = () => hook.got.map(({ body }) => JSON.parse(body).event).sort()
  const id = await ask({ requestedBy: person(grace) })
  await tx((tx) => bypassApproval(tx, ctx, person(bob), id, { reason: 'the house is on fire', digest: approvalDigest(asked) }))
  await sendDue(parts, ctx)
  await sendDue(parts, ctx)
  expect(events()).toEqual(['bypassed', 'let_through'])
  expect(mail.got.map(({ to }) => to[0]).sort()).toEqual(['ada@example.com', 'grace@example.com'])
  for (const list of [hook.got, mail.got]) list.splice(0)
  const workload = await tx((tx) =>
    joinIdentity(tx, ctx, {
      name: `w ${newId()}`,
      kind: 'workload',
      source: 'api',
      owner: { kind: 'person', id: grace },
      purpose: 'asks',
      environment: 'test',
    }),
  )
  const program = principal({ id: workload, identity: workload, kind: 'workload', name: 'w' })
  const theirs = await ask({ requestedBy: program, subject: 'by a program' })
  await sendDue(parts, ctx)
  for (const list of [hook.got, mail.got]) list.splice(0)
  const digest = approvalDigest({ ...asked, subject: 'by a program' })
  await tx((tx) => decideApproval(tx, ctx, person(bob), theirs, { decision: 'reject', reason: 'no', digest, assertion: null }))
  await sendDue(parts, ctx)
  expect([events(), mail.got]).toEqual([['rejected'], []])
})
