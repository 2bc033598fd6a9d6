import type { Sql, Tx } from '../store/index.ts'
import { ATTEMPTS_MAX, backoffSeconds, type ChannelFields, type ChannelKind } from './notify.model.ts'
import type { Escalation, NoticeEvent } from './notify.queue.ts'

export interface ChannelRow {
  readonly id: string
  readonly name: string
  readonly kind: ChannelKind
  readonly settings: ChannelFields['settings']
  readonly kek_id: string | null
  readonly wrapped_key: Uint8Array | null
  readonly sealed: Uint8Array | null
  readonly created_at: Date
  readonly created_by: string
}

const CHANNEL = 'id, name, kind, settings, kek_id, wrapped_key, sealed, created_at, created_by'

/** False if the name is taken. */
export async function insertChannel(tx: Tx, row: ChannelRow, makers: readonly string[] | null): Promise<boolean> {
  const done = await tx.query(
    `insert into notify_channel (${CHANNEL}, makers) values ($1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9, $10)
     on conflict (name) do nothing returning id`,
    [
      row.id,
      row.name,
      row.kind,
      JSON.stringify(row.settings),
      row.kek_id,
      row.wrapped_key,
      row.sealed,
      row.created_at,
      row.created_by,
      makers,
    ],
  )
  return done.length === 1
}

export async function channels(sql: Sql): Promise<ChannelRow[]> {
  return sql.query(`select ${CHANNEL} from notify_channel where removed_at is null order by name`)
}

export async function channelNamed(sql: Sql, name: string): Promise<ChannelRow | null> {
  const [row] = await sql.query<ChannelRow>(`select ${CHANNEL} from notify_channel where name = $1 and removed_at is null`, [name])
  return row ?? null
}

export async function channelById(sql: Sql, id: string): Promise<ChannelRow | null> {
  const [row] = await sql.query<ChannelRow>(`select ${CHANNEL} from notify_channel where id = $1 and removed_at is null`, [id])
  return row ?? null
}

/** Its secret goes, its name becomes free, and what waits for it is dropped. Null if there is none of this name. */
export async function retireChannel(tx: Tx, name: string, at: Date): Promise<string | null> {
  const [row] = await tx.query<{ id: string }>(
    `update notify_channel set removed_at = $2, name = id::text, kek_id = null, wrapped_key = null, sealed = null
      where name = $1 and removed_at is null returning id`,
    [name, at],
  )
  if (row === undefined) return null
  await tx.query(
    "update notify_delivery set state = 'dropped', fault = 'the channel was removed' where channel_id = $1 and state = 'waiting'",
    [row.id],
  )
  return row.id
}

export async function keysUnder(tx: Tx, kekId: string, limit: number): Promise<{ id: string; wrapped_key: Uint8Array }[]> {
  return tx.query('select id, wrapped_key from notify_channel where kek_id = $1 order by id limit $2 for update', [kekId, limit])
}

export async function setKey(tx: Tx, id: string, kekId: string, wrapped: Uint8Array): Promise<void> {
  await tx.query('update notify_channel set kek_id = $2, wrapped_key = $3 where id = $1', [id, kekId, wrapped])
}

/** A notice that whoever has claimed it is to send. */
export interface Claimed {
  readonly id: string
  readonly channel_id: string
  readonly event: NoticeEvent | 'test'
  readonly approval_id: string | null
  /** Of an escalation: what waits, and the ids of the people who are told. */
  readonly about: (Omit<Escalation, 'event'> & { readonly people: readonly string[] }) | null
  readonly identity_id: string | null
  readonly attempts: number
  readonly created_at: Date
}

const CLAIMED = 'id, channel_id, event, approval_id, about, identity_id, attempts, created_at'

/** For so long a notice belongs to whoever claimed it, seconds: longer than sending can take. After that another sends it again. */
const CLAIM_SECONDS = 90

/** By the database's clock, as leases are. */
export async function claimDue(sql: Sql, limit: number): Promise<Claimed[]> {
  return sql.query(
    `update notify_delivery set attempts = attempts + 1, claimed_until = now() + make_interval(secs => ${CLAIM_SECONDS})
      where id in (select id from notify_delivery
                    where state = 'waiting' and due_at <= now() and (claimed_until is null or claimed_until < now())
                    order by due_at limit $1 for update skip locked)
      returning ${CLAIMED}`,
    [limit],
  )
}

/** A test of a channel, claimed already by whoever asks for it. */
export async function insertTest(sql: Sql, id: string, channel: string): Promise<Claimed | undefined> {
  const [row] = await sql.query<Claimed>(
    `insert into notify_delivery (id, channel_id, event, attempts, claimed_until)
     values ($1, $2, 'test', 1, now() + make_interval(secs => ${CLAIM_SECONDS})) returning ${CLAIMED}`,
    [id, channel],
  )
  return row
}

/** It was sent: true, whoever claimed it meanwhile. */
export async function markSent(sql: Sql, id: string): Promise<void> {
  await sql.query("update notify_delivery set state = 'sent', sent_at = now(), fault = null where id = $1 and state <> 'sent'", [id])
}

export async function markDropped(sql: Sql, id: string, why: string): Promise<void> {
  await sql.query("update notify_delivery set state = 'dropped', fault = $2 where id = $1 and state = 'waiting'", [id, why])
}

/** Waits for its next try, or has failed for good: resolves with which. Null if somebody else has it by now. */
export async function markFault(
  tx: Tx,
  { id, attempts, event }: Claimed,
  fault: string,
  final: boolean,
): Promise<'waiting' | 'failed' | null> {
  const state = final || attempts >= ATTEMPTS_MAX || event === 'test' ? 'failed' : 'waiting'
  const done = await tx.query(
    `update notify_delivery set state = $3, fault = $4, claimed_until = null, due_at = now() + make_interval(secs => $5)
      where id = $1 and attempts = $2 and state = 'waiting' returning id`,
    [id, attempts, state, fault, backoffSeconds(attempts)],
  )
  return done.length === 1 ? state : null
}

/** A notice to one approver by mail, or to a webhook about all of them. */
export interface Delivery {
  readonly id: string
  readonly channel: string
  readonly event: string
  readonly approval: string | null
  readonly identity: string | null
  readonly identityName: string | null
  readonly state: 'waiting' | 'sent' | 'failed' | 'dropped'
  readonly attempts: number
  readonly fault: string | null
  readonly createdAt: Date
  readonly sentAt: Date | null
}

/** Notices, newest first, from before the cursor `after`; at most `limit`. */
export async function listDeliveries(
  sql: Sql,
  page: { readonly state: string | null; readonly after: { at: string; id: string } | null; readonly limit: number },
): Promise<Delivery[]> {
  return sql.query(
    `select d.id, c.name as channel, d.event, d.approval_id as approval, d.identity_id as identity, i.name as "identityName", d.state,
            d.attempts, d.fault, d.created_at as "createdAt", d.sent_at as "sentAt"
       from notify_delivery d join notify_channel c on c.id = d.channel_id left join identity i on i.id = d.identity_id
      where ($1::text is null or d.state = $1)
        and ($2::timestamptz is null or (d.created_at, d.id) < ($2::timestamptz, $3::uuid))
      order by d.created_at desc, d.id desc limit $4`,
    [page.state, page.after?.at ?? null, page.after?.id ?? null, page.limit],
  )
}

/** The names of these identities, by id. */
export async function namesOf(sql: Sql, ids: readonly string[]): Promise<{ id: string; name: string }[]> {
  return sql.query('select id, name from identity where id = any($1::uuid[]) order by id', [ids])
}

/** A person's mail address; null: none. */
export interface Mailbox {
  readonly id: string
  readonly name: string
  readonly email: string | null
}

/** An active person and their mail address: the label `email`, else what a directory pushed as the primary one. */
export async function mailbox(sql: Sql, identity: string): Promise<Mailbox | null> {
  return (await mailboxes(sql, [identity]))[0] ?? null
}

/** The same of several; who is no active person is left out. */
export async function mailboxes(sql: Sql, identities: readonly string[]): Promise<Mailbox[]> {
  return sql.query(
    `select i.id, i.name, coalesce(
        (select l.value from identity_label l where l.identity_id = i.id and l.key = 'email'),
        (select e.mail ->> 'value'
           from scim_user u
           cross join jsonb_array_elements(
             case when jsonb_typeof(u.resource -> 'emails') = 'array' then u.resource -> 'emails' else '[]' end) as e(mail)
          where u.identity_id = i.id and u.deleted_at is null
          order by (e.mail ->> 'primary') = 'true' desc nulls last limit 1)) as email
       from identity i where i.id = any($1::uuid[]) and i.kind = 'human' and i.status = 'active'`,
    [identities],
  )
}

/**
 * Active people in teams that a rule asks, through any nesting, by id; since when: the rule, the teams that lead to them (when somebody
 * came to one is kept with the team) and they themselves are as they are, by the oldest of their ways.
 */
export async function peopleAsked(sql: Sql, after: string | null, limit: number): Promise<{ id: string; name: string; since: Date }[]> {
  return sql.query(
    `with recursive asked(id, since) as (
       select t.id, greatest(r.changed_at, t.changed_at) from approval_rule r
         cross join jsonb_array_elements(case when jsonb_typeof(r.factors) = 'array' then r.factors else '[]' end) f
         join team t on t.id::text = f ->> 'team'
       union
       select n.child_id, greatest(a.since, t.changed_at) from team_nesting n join asked a on n.parent_id = a.id
         join team t on t.id = n.child_id)
     select i.id, i.name, greatest(i.created_at, min(a.since)) as since
       from asked a join team_member m on m.team_id = a.id join identity i on i.id = m.identity_id
      where i.kind = 'human' and i.status = 'active' and ($1::uuid is null or i.id > $1) group by i.id order by i.id limit $2`,
    [after, limit],
  )
}
