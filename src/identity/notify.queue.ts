import type { Tx } from '../store/index.ts'
import type { OwnerRef } from './record.model.ts'
import { peopleBelow } from './team.store.ts'

/** On which notifiers are told that there is something to send. It carries nothing: the rows say what. */
export const NOTIFY_CHANNEL = 'rekey_notify'

/** What people are told of. */
export type NoticeEvent = 'requested' | 'reminder' | 'bypassed' | Outcome | Escalation['event']

/** What became of a request, for who asked. let_through: somebody bypassed the approval. */
export const OUTCOMES = ['approved', 'rejected', 'expired', 'let_through'] as const
export type Outcome = (typeof OUTCOMES)[number]

/** Something that waits for a human. Names and ids only: what is told goes where others read it. */
export interface Escalation {
  /**
   * review_missed: nobody looked in time. closure_waits: Rekey cannot end a credential by itself. way_lost: a directory suspended the last
   * person who could change policy, or took them out of the team that gave it. roads_left: somebody has left who made ways by which
   * others are let in.
   */
  readonly event: 'review_missed' | 'closure_waits' | 'way_lost' | 'roads_left'
  /** Of the review, of the closure, of the person, or of the team. */
  readonly id: string
  /** Name of the credential, of the person, or of the team. */
  readonly subject: string
  /** Of the credential; or the directory; or which ways. */
  readonly system: string
}

/**
 * Puts notices into the outbox, in the transaction that does what they tell of: one for each webhook, and one for each of `people` and each
 * mail server. Without channels there are none.
 */
export async function queueNotices(tx: Tx, approval: string, event: NoticeEvent, people: readonly string[]): Promise<void> {
  if (people.length === 0) return
  await tx.query(
    `insert into notify_delivery (id, channel_id, event, approval_id, identity_id)
     select gen_random_uuid(), c.id, $2, $1::uuid, null from notify_channel c where c.kind = 'webhook' and c.removed_at is null
     union all
     select gen_random_uuid(), c.id, $2, $1::uuid, p from notify_channel c cross join unnest($3::uuid[]) p
      where c.kind = 'smtp' and c.removed_at is null`,
    [approval, event, people],
  )
  await tx.query('select pg_notify($1, $2)', [NOTIFY_CHANNEL, ''])
}

/**
 * Tells who asked what became of it, in the transaction that makes it so: each webhook, and by mail the person who asked. A program has no
 * mailbox; its request is told to webhooks alone.
 */
export async function queueOutcome(tx: Tx, approval: string, event: Outcome, requester: string | null): Promise<void> {
  await tx.query(
    `insert into notify_delivery (id, channel_id, event, approval_id, identity_id)
     select gen_random_uuid(), c.id, $2, $1::uuid, null from notify_channel c where c.kind = 'webhook' and c.removed_at is null
     union all
     select gen_random_uuid(), c.id, $2, $1::uuid, p.id from notify_channel c join identity p on p.id::text = $3 and p.kind = 'human'
      where c.kind = 'smtp' and c.removed_at is null`,
    [approval, event, requester],
  )
  await tx.query('select pg_notify($1, $2)', [NOTIFY_CHANNEL, ''])
}

/**
 * Puts notices of an escalation into the outbox, in the transaction that records it: one for each webhook, and for each mail server one to
 * each person it goes to, or active person of a team. A team without people is told to webhooks alone. Without channels there are none.
 */
export async function queueEscalation(tx: Tx, to: readonly OwnerRef[], { event, ...about }: Escalation): Promise<void> {
  const found = await Promise.all(to.map(async ({ kind, id }) => (kind === 'person' ? [{ id }] : peopleBelow(tx, id))))
  const people = [...new Set(found.flat().map(({ id }) => id))]
  await tx.query(
    `insert into notify_delivery (id, channel_id, event, about, identity_id)
     select gen_random_uuid(), c.id, $1, $2::jsonb, null from notify_channel c where c.kind = 'webhook' and c.removed_at is null
     union all
     select gen_random_uuid(), c.id, $1, $2::jsonb, p from notify_channel c cross join unnest($3::uuid[]) p
      where c.kind = 'smtp' and c.removed_at is null`,
    [event, JSON.stringify({ ...about, people }), people],
  )
  await tx.query('select pg_notify($1, $2)', [NOTIFY_CHANNEL, ''])
}
