/** Enrolment codes and the people who were made to enrol by one. */
import type { Sql, Tx } from '../store/index.ts'

/** By what a code was made. */
export interface CodeMaker {
  readonly kind: 'person' | 'token'
  readonly id: string
  /** Identities that stand behind it. */
  readonly makers: readonly string[]
  /** Of a person. */
  readonly session: string | null
}

export async function insertCode(tx: Tx, hashHex: string, identity: string, by: CodeMaker, seconds: number): Promise<Date> {
  await tx.query('delete from enrolment_code where identity_id = $1 or expires_at < now()', [identity])
  const [row] = await tx.query<{ expires_at: Date }>(
    `insert into enrolment_code (hash, identity_id, makers, maker_kind, maker_id, session_id, expires_at)
     values (decode($1, 'hex'), $2, $3, $4, $5, $6, now() + make_interval(secs => $7)) returning expires_at`,
    [hashHex, identity, by.makers, by.kind, by.id, by.session, seconds],
  )
  if (row === undefined) throw new Error('an insert returned no row')
  return row.expires_at
}

/** True of a person `i` who was made by a code, and whom nobody has ever been: no session, passkey, subject or user of a directory. */
const NOBODY = `exists (select from bootstrap_person b where b.identity_id = i.id and b.came_at is null)
  and not exists (select from passkey where identity_id = i.id) and not exists (select from session where identity_id = i.id)
  and not exists (select from identity_external where identity_id = i.id)
  and not exists (select from scim_user where identity_id = i.id)`

export interface CodeRow extends Pick<CodeMaker, 'kind' | 'id'> {
  readonly identity: string
  readonly name: string
}

/** A code that is not too old, whose person is active and nobody's yet, and everybody who made it is active too. */
export async function codeByHash(sql: Sql, hashHex: string): Promise<CodeRow | null> {
  const [row] = await sql.query<CodeRow>(
    `select i.id as identity, i.name, c.maker_kind as kind, c.maker_id as id
       from enrolment_code c join identity i on i.id = c.identity_id
      where c.hash = decode($1, 'hex') and c.expires_at > now() and i.status = 'active' and i.kind = 'human'
        and ${NOBODY}
        and not exists (select from unnest(c.makers) m(id) left join identity p on p.id = m.id where p.status is distinct from 'active')`,
    [hashHex],
  )
  return row ?? null
}

/** Holds whom a code is for and who made it as they are, to the end of the transaction. */
export async function lockCodePeople(tx: Tx, hashHex: string): Promise<void> {
  await tx.query(
    `select i.id from identity i
      where i.id in (select unnest(array_append(makers, identity_id)) from enrolment_code where hash = decode($1, 'hex'))
      order by i.id for share`,
    [hashHex],
  )
}

/** True for who used it up. */
export async function deleteCode(tx: Tx, hashHex: string): Promise<boolean> {
  return (
    (await tx.query("delete from enrolment_code where hash = decode($1, 'hex') and expires_at > now() returning hash", [hashHex]))
      .length === 1
  )
}

/** Deletes the codes that somebody made, and those that were made for them. */
export async function dropCodesOf(tx: Tx, identity: string): Promise<void> {
  await tx.query('delete from enrolment_code where identity_id = $1::uuid or makers @> array[$1::uuid]', [identity])
}

/** Deletes the codes that were made in these sessions. */
export async function dropCodesIn(tx: Tx, sessions: readonly string[]): Promise<void> {
  if (sessions.length > 0) await tx.query('delete from enrolment_code where session_id = any($1::uuid[])', [sessions])
}

/** The codes of a session go on with the one that takes its place. */
export async function moveCodes(tx: Tx, from: string, to: string): Promise<void> {
  await tx.query('update enrolment_code set session_id = $2 where session_id = $1', [from, to])
}

/** That these made a code for somebody, now: a new administrator, or one who has never come in. */
export async function putBootstrapPerson(tx: Tx, identity: string, makers: readonly string[]): Promise<void> {
  await tx.query(
    `insert into bootstrap_person (identity_id, makers) values ($1, $2)
     on conflict (identity_id) do update set makers = excluded.makers, made_at = now()`,
    [identity, makers],
  )
}

/** Somebody is this person: no code is made for them any more, and one that was made is good no more. */
export async function noteCame(tx: Tx, identity: string): Promise<void> {
  await tx.query('delete from enrolment_code where identity_id = $1', [identity])
  await tx.query('update bootstrap_person set came_at = now() where identity_id = $1 and came_at is null', [identity])
}

export interface WaitingPerson {
  readonly makers: readonly string[]
  /** In a team: somebody relies on who it is. */
  readonly known: boolean
}

/** Locked, if this person is active, was made by a code, and nobody has ever been it. */
export async function lockWaiting(tx: Tx, identity: string): Promise<WaitingPerson | null> {
  // By itself: one statement that waits for it would not see who came meanwhile.
  await tx.query('select identity_id from bootstrap_person where identity_id = $1 for update', [identity])
  const [row] = await tx.query<WaitingPerson>(
    `select b.makers, exists (select from team_member m where m.identity_id = i.id) as known
       from bootstrap_person b join identity i on i.id = b.identity_id
      where b.identity_id = $1 and i.status = 'active' and ${NOBODY}`,
    [identity],
  )
  return row ?? null
}

/** Somebody who was made an administrator by people of whom one has left or is suspended. */
export interface MadeByLeaver {
  readonly id: string
  readonly name: string
  /** Names of those makers. */
  readonly makers: readonly string[]
  readonly came: boolean
  readonly since: Date
}

/**
 * Those who are not offboarded, by id: who never came in, and who was made within so many days, so that the maker may have been the one
 * who came.
 */
export async function listMadeByLeavers(sql: Sql, after: string | null, limit: number, days: number): Promise<MadeByLeaver[]> {
  return sql.query(
    `select b.identity_id as id, i.name, array_agg(p.name order by p.name) as makers, b.came_at is not null as came, b.made_at as since
       from bootstrap_person b join identity i on i.id = b.identity_id and i.status <> 'offboarded'
       join identity p on p.id = any(b.makers) and p.status <> 'active'
      where ($1::uuid is null or b.identity_id > $1) and (b.came_at is null or b.made_at > now() - make_interval(days => $3))
      group by b.identity_id, i.name order by b.identity_id limit $2`,
    [after, limit, days],
  )
}
