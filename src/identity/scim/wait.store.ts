import type { Sql, Tx } from '../../store/index.ts'

export interface WaitRow {
  readonly approval_id: string | null
  readonly since: Date
}

/** That the offboarding of a user waits, as of now. */
export async function putWait(tx: Tx, user: string, approval: string | null, why: string, at: Date): Promise<void> {
  await tx.query(
    `insert into scim_wait (user_id, approval_id, why, since, looked_at) values ($1, $2, $3, $4, $4)
     on conflict (user_id) do update set approval_id = excluded.approval_id, why = excluded.why, looked_at = excluded.looked_at`,
    [user, approval, why, at],
  )
}

export async function waitOf(sql: Sql, user: string): Promise<WaitRow | null> {
  const [row] = await sql.query<WaitRow>('select approval_id, since from scim_wait where user_id = $1', [user])
  return row ?? null
}

export async function dropWait(tx: Tx, user: string): Promise<void> {
  await tx.query('delete from scim_wait where user_id = $1', [user])
}

/** An offboarding that a provider ordered and that waits for others. */
export interface WaitingOffboarding {
  readonly id: string
  readonly identity: string
  readonly name: string
  readonly provider: string
  readonly why: string
  readonly since: Date
}

/** By the id of the user. */
export async function listWaits(sql: Sql, after: string | null, limit: number): Promise<WaitingOffboarding[]> {
  return sql.query(
    `select w.user_id as id, u.identity_id as identity, i.name, p.name as provider, w.why, w.since
       from scim_wait w join scim_user u on u.id = w.user_id join scim_provider p on p.id = u.provider_id
       join identity i on i.id = u.identity_id
      where $1::uuid is null or w.user_id > $1 order by w.user_id limit $2`,
    [after, limit],
  )
}
