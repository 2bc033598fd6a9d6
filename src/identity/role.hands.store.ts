import type { Ctx } from '../kernel/index.ts'
import { type Grip, gripsOf, type PolicySet } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { PROVIDED } from './role.store.ts'
import { GOOD } from './token.store.ts'

/**
 * What is held, by whom, in which hand and by which grip of the policies ($1). `made`: not by a directory provider's word alone. Of tokens
 * too, whoever they are of.
 */
const HELD = `grip as (select * from jsonb_to_recordset($1::jsonb) as g(kind text, id text, hand text)),
       given(kind, id, hand, by_kind, by_id) as (
         select b.subject_kind, b.subject_id, g.hand, g.kind, g.id from role_binding b join grip g on g.kind = 'role' and g.id = b.role
         union select 'team', t.id, g.hand, g.kind, g.id from grip g join team t on g.kind = 'team' and t.id::text = g.id
         union select 'identity', i.id, g.hand, g.kind, g.id from grip g join identity i on g.kind = 'one' and i.id::text = g.id
         union select 'token', t.id, g.hand, g.kind, g.id from grip g join api_token t on g.kind = 'one' and t.id::text = g.id),
       reach(team, hand, by_kind, by_id, made) as (
         select g.id, g.hand, g.by_kind, g.by_id, not ${PROVIDED} from given g join team t on t.id = g.id where g.kind = 'team'
         union select n.child_id, r.hand, r.by_kind, r.by_id, r.made and not ${PROVIDED}
           from team_nesting n join reach r on n.parent_id = r.team join team t on t.id = n.child_id),
       held(id, hand, by_kind, by_id, made) as (
         select id, hand, by_kind, by_id, true from given where kind = 'identity'
         union select m.identity_id, r.hand, r.by_kind, r.by_id, r.made from reach r join team_member m on m.team_id = r.team
         union select x.id, g.hand, g.by_kind, g.by_id, true from given g join api_token t on g.kind = 'token' and t.id = g.id
            cross join lateral (select t.identity_id union select unnest(t.makers)) x(id) where ${GOOD} and x.id is not null)`

const MADE = `count(distinct h.hand) filter (where h.made) = 2 or exists (select 1 from both_hands f where f.identity_id = i.id) as made`

/** Somebody who holds both hands. */
export interface BothHanded {
  readonly id: string
  readonly name: string
  /** False: only with what nothing but a directory provider's word gives, and nobody forced that: it does not count. */
  readonly made: boolean
}

/**
 * Identities that are not gone and hold both hands: by what is bound to them, to their teams through any depth of nesting, or to a good
 * token that is theirs or that they made, and by policies that name them, their teams or those tokens.
 */
export async function bothHanded(sql: Sql, policies: PolicySet['policies']): Promise<BothHanded[]> {
  return sql.query(
    `with recursive ${HELD}
     select i.id, i.name, ${MADE} from held h join identity i on i.id = h.id and i.status <> 'offboarded'
      group by i.id, i.name having count(distinct h.hand) = 2 order by i.name`,
    [JSON.stringify(gripsOf(policies))],
  )
}

/** A holder of both hands, with what puts which hand there, each grip once. */
export interface HolderOfBoth extends BothHanded {
  readonly kind: 'identity' | 'token'
  readonly by: readonly Grip[]
}

/** The same, and good tokens that hold both by themselves, each with what puts which hand there. */
export async function holdersOfBoth(sql: Sql, policies: PolicySet['policies']): Promise<HolderOfBoth[]> {
  const by = "jsonb_agg(distinct jsonb_build_object('kind', h.by_kind, 'id', h.by_id, 'hand', h.hand)) as by"
  return sql.query(
    `with recursive ${HELD}
     select 'identity' as kind, i.id, i.name, ${MADE}, ${by} from held h join identity i on i.id = h.id and i.status <> 'offboarded'
      group by i.id, i.name having count(distinct h.hand) = 2
     union all
     select 'token', t.id, t.name, true, ${by} from given h join api_token t on h.kind = 'token' and t.id = h.id where ${GOOD}
      group by t.id, t.name having count(distinct h.hand) = 2 order by 1, 3, 2`,
    [JSON.stringify(gripsOf(policies))],
  )
}

/** Who of `after` was not among `before`, or was so only by what did not count and holds both by hand now. */
export function newlyHeld<T extends Pick<BothHanded, 'id' | 'made'>>(before: readonly BothHanded[], after: readonly T[]): T[] {
  const was = new Map(before.map(({ id, made }) => [id, made]))
  return after.filter(({ id, made }) => !was.has(id) || (made && !was.get(id)))
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
