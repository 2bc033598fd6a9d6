import type { Sql, Tx } from '../../store/index.ts'

/** Somebody by whose suspension, or a team by whose change, the last way to change policy was lost. */
export interface LostWay {
  readonly id: string
  readonly what: 'identity' | 'team'
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

export async function putTeamLost(tx: Tx, lost: { team: string; name: string; provider: string; since: Date }): Promise<void> {
  await tx.query(
    `insert into way_lost_team (team_id, name, provider, since) values ($1, $2, $3, $4)
     on conflict (team_id) do update set name = excluded.name, provider = excluded.provider, since = excluded.since`,
    [lost.team, lost.name, lost.provider, lost.since],
  )
}

/** There is a way again: what took the last one away before says nothing of the next time. */
export async function forgetTeamsLost(tx: Tx): Promise<void> {
  await tx.query('delete from way_lost_team')
}

/** Those that are not active again, and teams. */
export async function listWaysLost(sql: Sql, after: string | null, limit: number): Promise<LostWay[]> {
  return sql.query(
    `select * from (
       select i.id, 'identity' as what, i.name, w.provider, w.since from way_lost w join identity i on i.id = w.identity_id
        where i.status <> 'active'
       union all
       select t.team_id, 'team', t.name, t.provider, t.since from way_lost_team t) lost
      where $1::uuid is null or id > $1 order by id limit $2`,
    [after, limit],
  )
}
