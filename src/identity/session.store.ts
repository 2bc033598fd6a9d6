import type { Aal } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { Login, LoginMethod } from './session.model.ts'
import { REPLACED_SECONDS, SEEN_SECONDS, SESSION_LIMITS } from './session.model.ts'

/** Neither ended, nor too old, nor at rest for too long. */
const LIVE = `s.ended_at is null and s.ends_at > now() and s.seen_at > now() - make_interval(secs => s.idle_seconds)`

export interface LiveRow {
  readonly id: string
  readonly identity: string
  readonly name: string
  readonly aal: Aal
  readonly authenticated_at: Date
  /** True: its last use should be noted. */
  readonly stale: boolean
}

/** By the hash of what the browser holds; null also if its person is not active now. */
export async function liveSession(sql: Sql, hashHex: string): Promise<LiveRow | null> {
  const [row] = await sql.query<LiveRow>(
    `select s.id, s.identity_id as identity, i.name, s.aal, s.authenticated_at, s.seen_at < now() - make_interval(secs => $2) as stale
       from session s join identity i on i.id = s.identity_id
      where s.hash = decode($1, 'hex') and ${LIVE} and i.status = 'active' and i.kind = 'human'`,
    [hashHex, SEEN_SECONDS],
  )
  return row ?? null
}

/** Only one that is live: a session that has just ended is not brought back. */
export async function touchSession(sql: Sql, id: string): Promise<void> {
  await sql.query(`update session s set seen_at = now() where s.id = $1 and ${LIVE}`, [id])
}

/** The person, if active; locked so that a suspension at the same moment either comes first or ends the session. */
export async function lockActivePerson(tx: Tx, id: string): Promise<{ readonly name: string } | null> {
  const [row] = await tx.query<{ name: string }>(
    "select name from identity where id = $1 and status = 'active' and kind = 'human' for share",
    [id],
  )
  return row ?? null
}

export interface AddedRow {
  readonly authenticated_at: Date
  readonly ends_at: Date
}

/** Null if a login as old as this one would have ended already. The age counts from the login, not from now. */
export async function addSession(tx: Tx, id: string, hashHex: string, login: Login): Promise<AddedRow | null> {
  const { seconds, idleSeconds } = SESSION_LIMITS[login.aal]
  const [row] = await tx.query<AddedRow>(
    `with login as (select least(coalesce($5::timestamptz, now()), now()) as at)
     insert into session (id, hash, identity_id, aal, authenticated_at, method, provider_id, passkey_id, browser, ends_at, idle_seconds)
     select $1, decode($2, 'hex'), $3, $4, login.at, $6, $7, $8, $9, login.at + make_interval(secs => $10), $11
       from login where login.at + make_interval(secs => $10) > now()
     returning authenticated_at, ends_at`,
    [
      id,
      hashHex,
      login.identity,
      login.aal,
      login.authenticatedAt,
      login.method,
      login.provider,
      login.passkey,
      login.browser,
      seconds,
      idleSeconds,
    ],
  )
  return row ?? null
}

/** The login by which a live session began, locked against its end; null if it is live no more. */
export async function loginOf(tx: Tx, id: string): Promise<Pick<Login, Inherited> | null> {
  const [row] = await tx.query<Pick<Login, Inherited>>(
    `select s.identity_id as identity, i.name, s.aal, s.authenticated_at as "authenticatedAt", s.method, s.provider_id as provider,
            s.passkey_id as passkey
       from session s join identity i on i.id = s.identity_id where s.id = $1 and ${LIVE} for share of s`,
    [id],
  )
  return row ?? null
}

type Inherited = 'identity' | 'name' | 'aal' | 'authenticatedAt' | 'method' | 'provider' | 'passkey'

/** Locked against its end; false if it is live no more. After `lockActivePerson`, in the order of those who end sessions. */
export async function lockSession(tx: Tx, id: string): Promise<boolean> {
  return (await tx.query(`select s.id from session s where s.id = $1 and ${LIVE} for no key update`, [id])).length === 1
}

/** SQL that is true if the session of this id is live. */
export function isLive(id: string): string {
  return `exists (select from session s where s.id = ${id} and ${LIVE})`
}

/** What was on its way under the old one still gets its answer. */
export async function replaceSession(tx: Tx, id: string): Promise<void> {
  await tx.query('update session set ends_at = least(ends_at, now() + make_interval(secs => $2)) where id = $1', [id, REPLACED_SECONDS])
}

export interface EndedRow {
  readonly id: string
  readonly identity: string
  readonly name: string
}

type By = 'id' | 'identity_id' | 'provider_id' | 'passkey_id'

/** Ends those that have not ended yet; of one person, if that is given. */
export async function endSessions(tx: Tx, by: By, id: string, identity: string | null = null): Promise<EndedRow[]> {
  return tx.query(
    `update session s set ended_at = now() from identity i
      where s.${by} = $1 and ${LIVE} and i.id = s.identity_id and ($2::uuid is null or i.id = $2)
      returning s.id, s.identity_id as identity, i.name`,
    [id, identity],
  )
}

export async function sessionOwner(sql: Sql, id: string): Promise<string | null> {
  const [row] = await sql.query<{ identity: string }>(`select s.identity_id as identity from session s where s.id = $1 and ${LIVE}`, [id])
  return row?.identity ?? null
}

/** A few at a time, at each login: what has been over for a day is of no use to anybody, and its end is in the evidence. */
export async function dropOldSessions(tx: Tx): Promise<void> {
  await tx.query(
    `delete from session where ctid in (select ctid from session where ends_at < now() - interval '1 day'
      order by ends_at limit 100 for update skip locked)`,
  )
}

export interface SessionRow {
  readonly id: string
  readonly identity: string
  readonly name: string
  readonly aal: Aal
  readonly method: LoginMethod
  readonly browser: string
  readonly created_at: Date
  readonly authenticated_at: Date
  readonly seen_at: Date
  readonly ends_at: Date
  readonly idle_seconds: number
}

/** How many live ones somebody has. */
export async function countSessions(sql: Sql, identity: string): Promise<number> {
  const [row] = await sql.query<{ count: number }>(`select count(*)::int as count from session s where s.identity_id = $1 and ${LIVE}`, [
    identity,
  ])
  return row?.count ?? 0
}

/** Live ones, oldest first. */
export async function listSessions(sql: Sql, identity: string | null, after: string | null, limit: number): Promise<SessionRow[]> {
  return sql.query(
    `select s.id, s.identity_id as identity, i.name, s.aal, s.method, s.browser, s.created_at, s.authenticated_at, s.seen_at, s.ends_at,
            s.idle_seconds
       from session s join identity i on i.id = s.identity_id
      where ${LIVE} and ($1::uuid is null or s.identity_id = $1) and ($2::uuid is null or s.id > $2) order by s.id limit $3`,
    [identity, after, limit],
  )
}
