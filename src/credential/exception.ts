/** The register of what is not as it should be and is known: each with an owner, a reason, an end and the migration it waits for. */
import { append } from '../evidence/index.ts'
import {
  type AlsoOwned,
  type Answerable,
  findOwner,
  identityNamed,
  type Naming,
  nameIdentities,
  recordsById,
  teamById,
} from '../identity/index.ts'
import { type Ctx, counted, isId, newId, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine, type Resource } from '../policy/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { pageOfMine, standingResource } from './resources.ts'

/** What can be declared: an account that several use, one that a vendor has, a value that nobody rotates. */
export const EXCEPTION_KINDS = ['shared_account', 'vendor_managed', 'static_key'] as const
/** One of the kinds of exceptions. */
export type ExceptionKind = (typeof EXCEPTION_KINDS)[number]
/** What becomes of a credential whose review nobody did in time: the owner's owner is told, or its logins are stopped. */
export const ON_MISSED = ['escalate', 'suspend'] as const
/** One of them. */
export type OnMissed = (typeof ON_MISSED)[number]

/** How often a kind is reviewed where the declaration does not say, seconds. */
export const REVIEW_EVERY_SECONDS: Readonly<Record<ExceptionKind | 'break_glass', number>> = {
  shared_account: 30 * 86_400,
  vendor_managed: 30 * 86_400,
  static_key: 90 * 86_400,
  break_glass: 30 * 86_400,
}
/** No exception lasts longer: it is a migration target, not the default. */
const LONGEST_DAYS = 366

/** An exception as it is listed. Times are RFC 3339. */
export interface ExceptionView {
  readonly exception: string
  readonly kind: ExceptionKind
  readonly credential: string
  readonly system: string
  /** Names of those who share it, beside the credential's own identity. */
  readonly users: readonly string[]
  readonly owner: Answerable
  readonly reason: string
  readonly waitsFor: string
  readonly endsAt: string
  readonly past: boolean
  readonly reviewEverySeconds: number
  readonly onMissed: OnMissed
  readonly createdBy: string
  readonly createdAt: string
  readonly closedAt: string | null
  readonly closedReason: string | null
}

/** What is declared. `users` and `owner` by id or name. */
export interface ExceptionInput {
  readonly kind: ExceptionKind
  readonly credential: string
  readonly users: readonly string[]
  readonly owner: string
  readonly reason: string
  readonly waitsFor: string
  readonly endsAt: Date
  readonly reviewEverySeconds?: number | undefined
  readonly onMissed: OnMissed
}

interface Parts {
  readonly store: Store
}

/**
 * Declares an exception (`exception.declared`). Throws `not_found`, also for an owner or users whom the asker may not name; `bad_input`;
 * `conflict` if one of the kind is open for the credential.
 */
export async function declareException(
  parts: Parts,
  ctx: Ctx,
  may: Allowed<'exception:declare'>,
  naming: Naming,
  input: ExceptionInput,
): Promise<ExceptionView> {
  const now = ctx.clock.now()
  if (!(input.endsAt > now)) throw new RekeyError('bad_input', 'An exception ends in the future.')
  if (input.endsAt.getTime() - now.getTime() > LONGEST_DAYS * 86_400_000) {
    throw new RekeyError('bad_input', `An exception lasts at most ${LONGEST_DAYS} days.`, {
      hint: 'Declare it again when it ends, if it must be.',
    })
  }
  if (input.kind === 'shared_account' && input.users.length === 0) {
    throw new RekeyError('bad_input', 'Who shares the account is missing.', { hint: 'Name each of them.' })
  }
  const id = newId(now.getTime())
  await parts.store.inTx(async (tx) => {
    const credential = await credentialFor(tx, may, input.credential, id)
    const record = await identityNamed(tx, credential.identity_id)
    const owner = await findOwner(tx, naming, input.owner, record.tenancy)
    const users = await nameIdentities(tx, naming, input.users)
    const every = input.reviewEverySeconds ?? REVIEW_EVERY_SECONDS[input.kind]
    const name = await ownerName(tx, owner)
    const rows = await tx.query(
      `insert into exception (id, kind, credential_id, users, owner_kind, owner_id, owner_name, reason, waits_for, ends_at,
              review_every_seconds, on_missed, created_by)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
       on conflict (credential_id, kind) where closed_at is null do nothing returning id`,
      [
        id,
        input.kind,
        credential.id,
        users,
        owner.kind,
        owner.id,
        name,
        input.reason,
        input.waitsFor,
        input.endsAt,
        every,
        input.onMissed,
        ctx.actor,
      ],
    )
    if (rows.length === 0)
      throw new RekeyError('conflict', `${input.credential} has such an exception.`, { hint: 'See rekey exception list.' })
    const data = {
      kind: input.kind,
      users,
      owner: name,
      reason: input.reason,
      waitsFor: input.waitsFor,
      endsAt: input.endsAt.toISOString(),
    }
    const links = { credential: credential.id, exception: id }
    await append(tx, ctx, [{ log: 'credential', type: 'exception.declared', subject: input.credential, links, data }])
  })
  return exceptionById(parts.store, id)
}

async function ownerName(sql: Sql, owner: { readonly kind: 'person' | 'team'; readonly id: string }): Promise<string> {
  if (owner.kind === 'person') return (await recordsById(sql, [owner.id])).get(owner.id)?.name ?? owner.id
  return (await teamById(sql, owner.id))?.name ?? owner.id
}

async function credentialFor(
  sql: Sql,
  may: Allowed<'exception:declare'>,
  name: string,
  exception: string,
): Promise<{ readonly id: string; readonly identity_id: string }> {
  const [row] = await sql.query<{ id: string; identity_id: string | null }>('select id, identity_id from credential where name = $1', [
    name,
  ])
  if (row === undefined || !isMine(may, await exceptionResource(sql, exception, name))) {
    throw new RekeyError('not_found', `No such credential: ${name}`, { hint: 'See rekey credential list.' })
  }
  if (row.identity_id === null) throw new RekeyError('bad_input', 'A root credential is Rekey’s own: there is no exception for it.')
  return { id: row.id, identity_id: row.identity_id }
}

async function exceptionResource(sql: Sql, id: string, credential: string): Promise<Resource> {
  const [of] = await sql.query<{ system: string; identity_id: string | null }>(
    'select s.name as system, c.identity_id from credential c join system s on s.id = c.system_id where c.name = $1',
    [credential],
  )
  const record = of?.identity_id == null ? undefined : (await recordsById(sql, [of.identity_id])).get(of.identity_id)
  return standingResource('exception', id, of?.system ?? null, record)
}

/** Ends an exception (`exception.ended`), and the reviews that it asked for. Throws `not_found`; `wrong_state` if it has ended. */
export async function endException(
  parts: Parts,
  ctx: Ctx,
  may: Allowed<'exception:end'>,
  id: string,
  reason: string,
): Promise<ExceptionView> {
  await parts.store.inTx(async (tx) => {
    const [row] = await tx.query<{ credential_id: string; name: string; closed: boolean }>(
      `select e.credential_id, c.name, e.closed_at is not null as closed from exception e join credential c on c.id = e.credential_id
        where e.id = $1 for update of e`,
      [id],
    )
    if (row === undefined || !isMine(may, await exceptionResource(tx, id, row.name))) throw noException(id)
    if (row.closed) throw new RekeyError('wrong_state', 'This exception has ended.')
    await closeException(tx, ctx, { id, credential: row.credential_id, name: row.name, reason })
  })
  return exceptionById(parts.store, id)
}

/** The rows and the event. The caller has locked it. */
export async function closeException(
  tx: Tx,
  ctx: Ctx,
  of: { readonly id: string; readonly credential: string; readonly name: string; readonly reason: string },
): Promise<void> {
  await tx.query('update exception set closed_at = now(), closed_by = $2, closed_reason = $3 where id = $1', [of.id, ctx.actor, of.reason])
  const reviews = await tx.query<{ id: string }>(
    "update review set done_at = now(), done_by = $2, outcome = 'end', note = $3 where exception_id = $1 and done_at is null returning id",
    [of.id, ctx.actor, of.reason],
  )
  const ended = { log: 'credential', type: 'exception.ended', subject: of.name, data: { reason: of.reason } } as const
  const done = { log: 'credential', type: 'review.done', subject: of.name, data: { outcome: 'end', note: of.reason } } as const
  await append(tx, ctx, [
    { ...ended, links: { credential: of.credential, exception: of.id } },
    ...reviews.map(({ id }) => ({ ...done, links: { credential: of.credential, review: id } })),
  ])
}

interface Row {
  readonly id: string
  readonly kind: ExceptionKind
  readonly credential: string
  readonly system: string
  readonly identity_id: string | null
  readonly users: readonly string[]
  readonly owner_kind: 'person' | 'team'
  readonly owner_id: string
  readonly owner_name: string
  readonly reason: string
  readonly waits_for: string
  readonly ends_at: Date
  readonly past: boolean
  readonly review_every_seconds: number
  readonly on_missed: OnMissed
  readonly created_by: string
  readonly created_at: Date
  readonly closed_at: Date | null
  readonly closed_reason: string | null
}

const VIEW = `
  select e.id, e.kind, c.name as credential, s.name as system, c.identity_id, e.users, e.owner_kind, e.owner_id, e.owner_name,
         e.reason, e.waits_for, e.ends_at, e.ends_at <= now() and e.closed_at is null as past, e.review_every_seconds,
         e.on_missed, e.created_by, e.created_at, e.closed_at, e.closed_reason
    from exception e join credential c on c.id = e.credential_id join system s on s.id = c.system_id`

async function viewsOf(sql: Sql, rows: readonly Row[]): Promise<ExceptionView[]> {
  const users = await recordsById(sql, [...new Set(rows.flatMap((row) => row.users))])
  return rows.map((row) => ({
    exception: row.id,
    kind: row.kind,
    credential: row.credential,
    system: row.system,
    users: row.users.map((id) => users.get(id)?.name ?? id),
    owner: { kind: row.owner_kind, id: row.owner_id, name: row.owner_name },
    reason: row.reason,
    waitsFor: row.waits_for,
    endsAt: row.ends_at.toISOString(),
    past: row.past,
    reviewEverySeconds: row.review_every_seconds,
    onMissed: row.on_missed,
    createdBy: row.created_by,
    createdAt: row.created_at.toISOString(),
    closedAt: row.closed_at?.toISOString() ?? null,
    closedReason: row.closed_reason,
  }))
}

function noException(id: string): RekeyError {
  return new RekeyError('not_found', `No such exception: ${id}`, { hint: 'See rekey exception list.' })
}

async function exceptionById(sql: Sql, id: string): Promise<ExceptionView> {
  const rows = isId(id) ? await sql.query<Row>(`${VIEW} where e.id = $1`, [id]) : []
  const [view] = await viewsOf(sql, rows)
  if (view === undefined) throw noException(id)
  return view
}

/**
 * A page of exceptions in the order of their declaration, without what the asker may not read; those that have ended only with `all`.
 * `after` is the `next` of the page before; see `pageOfSeen`.
 */
export async function listExceptions(
  sql: Sql,
  may: Allowed<'exception:read'>,
  page: { readonly after?: string | undefined; readonly limit: number; readonly all: boolean },
): Promise<{ readonly items: ExceptionView[]; readonly next: string | null }> {
  const open = page.all ? '' : 'and e.closed_at is null'
  const text = `${VIEW} where ($1::uuid is null or e.id > $1) ${open} order by e.id limit $2`
  const read = (after: string | null, count: number) => sql.query<Row>(text, [after, count])
  const { items, next } = await pageOfMine(sql, may, 'exception', page, read)
  return { items: await viewsOf(sql, items), next }
}

/** What else a team answers for, in words: exceptions that are open. Empty: nothing. */
export const ownedByTeam: AlsoOwned = async (tx, team) => {
  const [row] = await tx.query<{ count: number }>(
    "select count(*)::int as count from exception where owner_kind = 'team' and owner_id = $1 and closed_at is null",
    [team],
  )
  const open = row?.count ?? 0
  return open === 0 ? [] : [`it answers for ${counted(open, 'exception', 'exceptions')} (rekey exception list)`]
}
