import type { Sql, Tx } from '../../store/index.ts'

/** Somebody by whose suspension the last way to change policy was lost. */
export interface LostWay {
  readonly id: string
  readonly name: string
  readonly provider: string
  readonly since: Date
}

/** Resolves with the name of the identity. */
export async function putWayLost(tx: Tx, lost: { identity: string; provider: string; since: Date }): Promise<string> {
  const [row] = await tx.query<{ name: string }>(
    `with put as (insert into way_lost (identity_id, provider, since) values ($1, $2, $3)
       on conflict (identity_id) do update set provider = excluded.provider, since = excluded.since returning identity_id)
     select i.name from put join identity i on i.id = put.identity_id`,
    [lost.identity, lost.provider, lost.since],
  )
  return row?.name ?? lost.identity
}

/** Those that are not active again. */
export async function listWaysLost(sql: Sql, after: string | null, limit: number): Promise<LostWay[]> {
  return sql.query(
    `select i.id, i.name, w.provider, w.since from way_lost w join identity i on i.id = w.identity_id
      where i.status <> 'active' and ($1::uuid is null or i.id > $1) order by i.id limit $2`,
    [after, limit],
  )
}
