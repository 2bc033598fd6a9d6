import type { Ctx } from '../kernel/index.ts'
import { gripsOf, type PolicySet } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { GOOD } from './token.store.ts'

/**
 * Identities that are not gone and hold both hands: by what is bound to them, to their teams through any depth of nesting, or to a good
 * token that is theirs or that they made, and by policies that name them or their teams.
 */
export async function bothHanded(sql: Sql, policies: PolicySet['policies']): Promise<{ id: string; name: string }[]> {
  return sql.query(
    `with recursive grip as (select * from jsonb_to_recordset($1::jsonb) as g(kind text, id text, hand text)),
       given(kind, id, hand) as (
         select b.subject_kind, b.subject_id, g.hand from role_binding b join grip g on g.kind = 'role' and g.id = b.role
         union select 'team', t.id, g.hand from grip g join team t on g.kind = 'team' and t.id::text = g.id
         union select 'identity', i.id, g.hand from grip g join identity i on g.kind = 'one' and i.id::text = g.id),
       reach(team, hand) as (
         select id, hand from given where kind = 'team'
         union select n.child_id, r.hand from team_nesting n join reach r on n.parent_id = r.team),
       held(id, hand) as (
         select id, hand from given where kind = 'identity'
         union select m.identity_id, r.hand from reach r join team_member m on m.team_id = r.team
         union select x.id, g.hand from given g join api_token t on g.kind = 'token' and t.id = g.id
            cross join lateral (select t.identity_id union select unnest(t.makers)) x(id) where ${GOOD} and x.id is not null)
     select i.id, i.name from held h join identity i on i.id = h.id and i.status <> 'offboarded'
      group by i.id, i.name having count(distinct h.hand) = 2 order by i.name`,
    [JSON.stringify(gripsOf(policies))],
  )
}

/** On record that they hold both, and why. */
export async function noteForced(tx: Tx, ctx: Ctx, identities: readonly string[], reason: string): Promise<void> {
  if (identities.length === 0) return
  await tx.query(
    `insert into both_hands (identity_id, reason, forced_at, forced_by) select i, $2, $3, $4 from unnest($1::uuid[]) i
     on conflict (identity_id) do update set reason = excluded.reason, forced_at = excluded.forced_at, forced_by = excluded.forced_by`,
    [identities, reason, ctx.clock.now(), ctx.actor],
  )
}

/** What was said of everybody but these is over. */
export async function dropForced(tx: Tx, but: readonly string[]): Promise<void> {
  await tx.query('delete from both_hands where not identity_id = any($1::uuid[])', [but])
}
