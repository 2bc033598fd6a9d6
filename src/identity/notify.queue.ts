import type { Tx } from '../store/index.ts'

/** On which notifiers are told that there is something to send. It carries nothing: the rows say what. */
export const NOTIFY_CHANNEL = 'rekey_notify'

/** What people are told of. */
export type NoticeEvent = 'requested' | 'reminder' | 'bypassed'

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
