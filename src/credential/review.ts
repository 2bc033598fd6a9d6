/** Looks that somebody must take in time, at credentials that are shared, with a vendor, static, or for emergencies. */
import { append } from '../evidence/index.ts'
import { type Answerable, emergencyIdentities, escalationsOf, queueEscalation, recordsById } from '../identity/index.ts'
import { type Ctx, isId, newId, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine } from '../policy/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { closeCredentials } from './closure.changes.ts'
import type { ClosingParts } from './closure.run.ts'
import { closeException, type ExceptionKind, type OnMissed, REVIEW_EVERY_SECONDS } from './exception.ts'
import { pageOfMine, standingResource } from './resources.ts'

/** Opened or found missed in one go. */
const AT_ONCE = 200
/** How long a review is open before it is due, seconds; a shorter interval makes it shorter. */
export const REVIEW_WINDOW_SECONDS = 14 * 86_400

/** Why a credential is reviewed. */
export type ReviewWhy = ExceptionKind | 'break_glass'

/** A review as it is listed. Times are RFC 3339. */
export interface ReviewView {
  readonly review: string
  readonly credential: string
  readonly system: string
  readonly why: ReviewWhy
  readonly exception: string | null
  readonly dueAt: string
  readonly onMissed: OnMissed
  readonly missedAt: string | null
  readonly doneAt: string | null
  readonly doneBy: string | null
  readonly outcome: 'keep' | 'end' | null
  readonly note: string | null
}

/**
 * Opens the reviews whose time has come: of each open exception, and of each credential of an identity of the recovery class emergency
 * (looked up by `emergency`). One is due when its interval has passed since the last one, and open for a window before that. Resolves
 * with how many were opened.
 */
export async function openReviews(parts: { readonly store: Store }, ctx: Ctx): Promise<number> {
  return parts.store.inTx(async (tx) => {
    const rows = await tx.query<{ credential_id: string; exception_id: string | null; why: ReviewWhy; on_missed: OnMissed; due: Date }>(
      `with wanted as (
         select e.credential_id, e.id as exception_id, e.kind as why, e.on_missed, e.review_every_seconds as every, e.created_at as since
           from exception e where e.closed_at is null)
       select w.credential_id, w.exception_id, w.why, w.on_missed, l.last + make_interval(secs => w.every) as due
         from wanted w
         cross join lateral (select greatest(w.since, coalesce((select max(r.done_at) from review r
             where r.credential_id = w.credential_id and r.why = w.why and r.done_at is not null), w.since)) as last) l
        where l.last + make_interval(secs => greatest(0, w.every - least(w.every / 2, ${REVIEW_WINDOW_SECONDS}))) <= now()
          and not exists (select 1 from review r where r.credential_id = w.credential_id and r.why = w.why and r.done_at is null)
        limit ${AT_ONCE}`,
    )
    let opened = 0
    for (const row of [...rows, ...(await emergencies(tx))]) opened += await openReview(tx, ctx, row)
    return opened
  })
}

interface Wanted {
  readonly credential_id: string
  readonly exception_id: string | null
  readonly why: ReviewWhy
  readonly on_missed: OnMissed
  readonly due: Date
}

/** Break-glass credentials: those of identities that somebody put in the class emergency. */
async function emergencies(tx: Tx): Promise<Wanted[]> {
  const ids = await emergencyIdentities(tx)
  if (ids.length === 0) return []
  const every = REVIEW_EVERY_SECONDS.break_glass
  return tx.query<Wanted>(
    `select c.id as credential_id, null::uuid as exception_id, 'break_glass' as why, 'escalate' as on_missed,
            l.last + make_interval(secs => $2) as due
       from credential c
       cross join lateral (select coalesce((select max(r.done_at) from review r
           where r.credential_id = c.id and r.why = 'break_glass' and r.done_at is not null), c.created_at) as last) l
      where c.identity_id = any($1::uuid[]) and l.last + make_interval(secs => $2 - ${REVIEW_WINDOW_SECONDS}) <= now()
        and not exists (select 1 from review r where r.credential_id = c.id and r.why = 'break_glass' and r.done_at is null)
      limit ${AT_ONCE}`,
    [ids, every],
  )
}

async function openReview(tx: Tx, ctx: Ctx, row: Wanted): Promise<number> {
  const id = newId(ctx.clock.now().getTime())
  const [added] = await tx.query<{ name: string }>(
    `insert into review (id, credential_id, exception_id, why, on_missed, due_at) values ($1, $2, $3, $4, $5, $6)
     on conflict (credential_id, why) where done_at is null do nothing
     returning (select name from credential where id = credential_id) as name`,
    [id, row.credential_id, row.exception_id, row.why, row.on_missed, row.due],
  )
  if (added === undefined) return 0
  const links = { credential: row.credential_id, review: id }
  const data = { why: row.why, dueAt: row.due.toISOString(), onMissed: row.on_missed }
  await append(tx, ctx, [{ log: 'credential', type: 'review.opened', subject: added.name, links, data }])
  return 1
}

/**
 * What happens to reviews that nobody did: each is said once to be missed and told to who comes after the owner (`escalationsOf`); the
 * logins of the credential are stopped until it is done, where that was asked, by a closure of its own. Resolves with how many.
 */
export async function missReviews(parts: ClosingParts, ctx: Ctx): Promise<number> {
  const due = await parts.store.query<{ id: string }>(
    `select id from review where done_at is null and missed_at is null and due_at <= now() order by due_at limit ${AT_ONCE}`,
  )
  for (const { id } of due) await parts.store.inTx((tx) => miss(parts, tx, ctx, id))
  return due.length
}

interface Missed {
  readonly credential_id: string
  readonly name: string
  readonly system: string
  readonly identity_id: string | null
  readonly on_missed: OnMissed
  readonly why: ReviewWhy
  readonly owner_kind: 'person' | 'team' | null
  readonly owner_id: string | null
  readonly owner_name: string | null
}

async function miss(parts: ClosingParts, tx: Tx, ctx: Ctx, id: string): Promise<void> {
  const [row] = await tx.query<Missed>(
    `with missed as (update review set missed_at = now() where id = $1 and missed_at is null and done_at is null returning *)
     select r.credential_id, c.name, s.name as system, c.identity_id, r.on_missed, r.why, e.owner_kind, e.owner_id, e.owner_name
       from missed r join credential c on c.id = r.credential_id join system s on s.id = c.system_id
       left join exception e on e.id = r.exception_id`,
    [id],
  )
  if (row === undefined) return
  const record = row.identity_id === null ? null : ((await recordsById(tx, [row.identity_id])).get(row.identity_id) ?? null)
  const [told] = await escalationsOf(tx, [{ identity: row.identity_id, owner: reviewOwner(row) }])
  const to = told?.to ?? []
  await queueEscalation(tx, to, { event: 'review_missed', id, subject: row.name, system: row.system })
  const links = { credential: row.credential_id, review: id, ...(row.identity_id === null ? {} : { identity: row.identity_id }) }
  const data = { why: row.why, onMissed: row.on_missed, human: to.map(({ name }) => name).join(', '), reached: told?.reached ?? false }
  await append(tx, ctx, [{ log: 'credential', type: 'review.missed', subject: row.name, links, data }])
  if (row.on_missed !== 'suspend' || record === null) return
  await closeCredentials(parts, tx, ctx, { record, goal: 'suspend', reason: 'its review was not done', credential: row.credential_id })
}

/** Who owns the exception that is reviewed; null where none is. */
export function reviewOwner(row: Pick<Missed, 'owner_kind' | 'owner_id' | 'owner_name'>): Answerable | null {
  const { owner_kind: kind, owner_id: id, owner_name: name } = row
  return kind === null || id === null || name === null ? null : { kind, id, name }
}

/**
 * A review is done (`review.done`): kept, so that logins that were stopped for want of it are given back; or to be ended, which ends the
 * exception and destroys the credential. Throws `not_found`; `wrong_state` if it is done.
 */
export async function doReview(
  parts: ClosingParts,
  ctx: Ctx,
  may: Allowed<'review:decide'>,
  id: string,
  word: { readonly outcome: 'keep' | 'end'; readonly note: string },
): Promise<ReviewView> {
  await parts.store.inTx(async (tx) => {
    const row = await lockReview(tx, id)
    const record = row?.identity_id == null ? undefined : (await recordsById(tx, [row.identity_id])).get(row.identity_id)
    if (row === null || !isMine(may, standingResource('review', id, row.system, record))) throw noReview(id)
    if (row.done) throw new RekeyError('wrong_state', 'This review is done.')
    await tx.query('update review set done_at = now(), done_by = $2, outcome = $3, note = $4 where id = $1', [
      id,
      ctx.actor,
      word.outcome,
      word.note,
    ])
    const links = { credential: row.credential_id, review: id }
    await append(tx, ctx, [{ log: 'credential', type: 'review.done', subject: row.name, links, data: { ...word } }])
    if (word.outcome === 'end' && row.exception_id !== null) {
      await closeException(tx, ctx, { id: row.exception_id, credential: row.credential_id, name: row.name, reason: word.note })
    }
    if (record === undefined) return
    const goal = word.outcome === 'end' ? 'destroy' : 'resume'
    await closeCredentials(parts, tx, ctx, { record, goal, reason: `review: ${word.note}`, credential: row.credential_id })
  })
  const [row] = await rowsOf(parts.store, 'r.id = $1', [id])
  if (row === undefined) throw noReview(id)
  return viewOf(row)
}

interface Locked {
  readonly credential_id: string
  readonly exception_id: string | null
  readonly identity_id: string | null
  readonly name: string
  readonly system: string
  readonly done: boolean
}

async function lockReview(tx: Tx, id: string): Promise<Locked | null> {
  if (!isId(id)) return null
  const [row] = await tx.query<Locked>(
    `select r.credential_id, r.exception_id, c.identity_id, c.name, s.name as system, r.done_at is not null as done
       from review r join credential c on c.id = r.credential_id join system s on s.id = c.system_id where r.id = $1 for update of r`,
    [id],
  )
  return row ?? null
}

function noReview(id: string): RekeyError {
  return new RekeyError('not_found', `No such review: ${id}`, { hint: 'See rekey review list.' })
}

interface Row {
  readonly id: string
  readonly credential: string
  readonly system: string
  readonly identity_id: string | null
  readonly why: ReviewWhy
  readonly exception_id: string | null
  readonly due_at: Date
  readonly on_missed: OnMissed
  readonly missed_at: Date | null
  readonly done_at: Date | null
  readonly done_by: string | null
  readonly outcome: 'keep' | 'end' | null
  readonly note: string | null
}

async function rowsOf(sql: Sql, where: string, params: readonly unknown[]): Promise<Row[]> {
  return sql.query<Row>(
    `select r.id, c.name as credential, s.name as system, c.identity_id, r.why, r.exception_id, r.due_at, r.on_missed, r.missed_at,
            r.done_at, r.done_by, r.outcome, r.note
       from review r join credential c on c.id = r.credential_id join system s on s.id = c.system_id where ${where}`,
    params,
  )
}

function viewOf(row: Row): ReviewView {
  return {
    review: row.id,
    credential: row.credential,
    system: row.system,
    why: row.why,
    exception: row.exception_id,
    dueAt: row.due_at.toISOString(),
    onMissed: row.on_missed,
    missedAt: row.missed_at?.toISOString() ?? null,
    doneAt: row.done_at?.toISOString() ?? null,
    doneBy: row.done_by,
    outcome: row.outcome,
    note: row.note,
  }
}

/**
 * A page of reviews in the order in which they were opened, without what the asker may not read; those that are done only with `all`.
 * `after` is the `next` of the page before; see `pageOfSeen`.
 */
export async function listReviews(
  sql: Sql,
  may: Allowed<'review:read'>,
  page: { readonly after?: string | undefined; readonly limit: number; readonly all: boolean },
): Promise<{ readonly items: ReviewView[]; readonly next: string | null }> {
  const open = page.all ? '' : 'and r.done_at is null'
  const where = `($1::uuid is null or r.id > $1) ${open} order by r.id limit $2`
  const read = (after: string | null, count: number) => rowsOf(sql, where, [after, count])
  const { items, next } = await pageOfMine(sql, may, 'review', page, read)
  return { items: items.map(viewOf), next }
}
