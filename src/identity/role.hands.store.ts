import type { Ctx } from '../kernel/index.ts'
import { type Grip, gripsOf, type PolicySet } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { SHARED } from './person.store.ts'
import { humansAmong } from './person.ts'
import { PROVIDED, SCIM_ROLE } from './role.store.ts'
import { GOOD } from './token.store.ts'

/**
 * What is held, by whom, in which hand and by which grip of the policies ($1). `made`: not by a directory provider's word alone. Of tokens
 * too, whoever they are of; who made a directory's token may know it, and holds what it may.
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
            cross join lateral (select t.identity_id union select t.acts_for_id union select unnest(t.makers)) x(id)
           where ${GOOD} and x.id is not null
         union select m.id, g.hand, g.kind, g.id, true from scim_token t cross join lateral unnest(t.makers) m(id)
            join grip g on g.kind = 'role' and g.id = '${SCIM_ROLE}' where ${GOOD})`

/** Somebody who holds both hands, alone or with other identities of the same human. */
export interface BothHanded {
  readonly id: string
  readonly name: string
  /** Names the human: the same for all identities of one. */
  readonly human: string
  /** False: only with what nothing but a directory provider's word gives, and nobody forced that: it does not count. */
  readonly made: boolean
  /** How it holds both without the human's other identities: not at all, only with what a directory gives, or by hand. */
  readonly alone: 'no' | 'given' | 'by hand'
  /** Somebody forced it, for one of the human's identities. */
  readonly forced: boolean
  /** The human has something that gives both hands by itself, not by a directory's word alone: its policy says why. */
  readonly whole: boolean
  /** The human holds both without any such thing, not by a directory's word alone. */
  readonly apart: boolean
  /** Somebody forced that. */
  readonly forcedApart: boolean
  /** Without such a thing it would not be both, a directory's word included. */
  readonly onlyWhole: boolean
}

/** A holder of both hands, with what puts which hand there, each grip once. */
export interface HolderOfBoth extends BothHanded {
  readonly kind: 'identity' | 'token'
  readonly by: readonly Grip[]
}

interface HeldRow {
  readonly kind: 'identity' | 'token'
  readonly id: string
  readonly name: string
  readonly by: readonly (Grip & { readonly made: boolean })[]
  readonly forced: boolean
  readonly forced_apart: boolean
  /** Whether another identity may be of the same human. */
  readonly shared: boolean
}

/**
 * Identities that are not gone and hold both hands: by what is bound to them, to their teams through any depth of nesting, or to a good
 * token that is theirs, acts for them or that they made, to a directory whose good token they made, and by policies that name them, their
 * teams or those tokens. Where several are of one human, all of them that hold a hand, once the human holds both.
 */
export async function bothHanded(sql: Sql, policies: PolicySet['policies']): Promise<BothHanded[]> {
  return (await holdersOfBoth(sql, policies)).filter(({ kind }) => kind === 'identity')
}

/** The same, and good tokens that hold both by themselves, each with what puts which hand there. */
export async function holdersOfBoth(sql: Sql, policies: PolicySet['policies']): Promise<HolderOfBoth[]> {
  const by = (made: string) =>
    `jsonb_agg(distinct jsonb_build_object('kind', h.by_kind, 'id', h.by_id, 'hand', h.hand, 'made', ${made})) as by`
  const grips = gripsOf(policies)
  const isWhole = wholeAmong(grips)
  const held = await sql.query<HeldRow>(
    `with recursive ${HELD}, shared as (${SHARED})
     select * from (
       select 'identity' as kind, i.id, i.name, ${by('h.made')}, count(distinct h.hand) as hands,
              exists (select 1 from both_hands f where f.identity_id = i.id) as forced,
              exists (select 1 from both_hands f where f.identity_id = i.id and f.apart) as forced_apart,
              i.id in (select id from shared) as shared
         from held h join identity i on i.id = h.id and i.status <> 'offboarded' group by i.id, i.name) x
      where hands = 2 or shared
     union all
     select 'token', t.id, t.name, ${by('true')}, 2, false, false, false
       from given h join api_token t on h.kind = 'token' and t.id = h.id where ${GOOD}
      group by t.id, t.name having count(distinct h.hand) = 2 order by 1, 3, 2`,
    [JSON.stringify(grips)],
  )
  const humanOf = await humansAmong(
    sql,
    held.flatMap(({ id, shared }) => (shared ? [id] : [])),
  )
  const byHuman = Map.groupBy(held, ({ kind, id }) => `${kind} ${humanOf(id)}`)
  const hands = (some: readonly HeldRow[], made: boolean) =>
    new Set(some.flatMap(({ by }) => by.flatMap((it) => (it.made || !made ? [it.hand] : [])))).size
  return held.flatMap((one): HolderOfBoth[] => {
    const { kind, id, name } = one
    const human = humanOf(id)
    const all = byHuman.get(`${kind} ${human}`) ?? []
    if (hands(all, false) < 2) return []
    const forced = all.some((each) => each.forced)
    const alone = hands([one], true) === 2 ? 'by hand' : hands([one], false) === 2 ? 'given' : 'no'
    const every = all.flatMap((each) => each.by)
    const whole = every.some((grip) => grip.made && isWhole(grip))
    const rest = every.filter((grip) => !isWhole(grip))
    const apart = new Set(rest.flatMap((grip) => (grip.made ? [grip.hand] : []))).size === 2
    const onlyWhole = new Set(rest.map((grip) => grip.hand)).size < 2
    const forcedApart = all.some((each) => each.forced_apart)
    const made = hands(all, true) === 2 || forced
    return [{ kind, id, name, human, made, alone, forced, whole, apart, forcedApart, onlyWhole, by: gripsOnce(every) }]
  })
}

/** Tells of a grip whether the same role, team or name has the other hand too. */
export function wholeAmong(grips: readonly Grip[]): (grip: Pick<Grip, 'kind' | 'id'>) => boolean {
  const keyOf = ({ kind, id }: Pick<Grip, 'kind' | 'id'>) => `${kind} ${id}`
  const hands = Map.groupBy(grips, keyOf)
  return (grip) => new Set(hands.get(keyOf(grip))?.map(({ hand }) => hand)).size === 2
}

function gripsOnce(by: readonly Grip[]): Grip[] {
  return [...new Map(by.map(({ kind, id, hand }) => [`${kind} ${id} ${hand}`, { kind, id, hand }])).values()]
}

/**
 * Who of `after` is of nobody who was among `before`, or was so only by what did not count and holds both by hand now. Two identities can
 * become one human's by an address, which nobody is asked about; so whoever holds both alone now, and did not, is new too, unless forced.
 * A role that gives both by itself has its reason in its policy, and that speaks for nothing else: who comes to hold both without it is
 * new, and so is who loses it and holds both all the same, unless somebody forced just that.
 */
export function newlyHeld<T extends BothHanded>(before: readonly BothHanded[], after: readonly T[]): T[] {
  const was = new Map(before.map((one) => [one.human, one]))
  const self = new Map(before.map((one) => [one.id, one]))
  return after.filter(({ id, human, made, alone, apart, whole }) => {
    const then = was.get(human)
    if (then === undefined || (made && !then.made)) return true
    if (apart && !then.forcedApart && (!then.apart || (then.whole && !whole))) return true
    return !then.forced && STEPS.indexOf(alone) > STEPS.indexOf(self.get(id)?.alone ?? 'no')
  })
}

const STEPS = ['no', 'given', 'by hand'] as const

/** On record that they hold both, and why. Whether it also counts without a role that gives both by itself, `dropForced` settles. */
export async function noteForced(tx: Tx, ctx: Ctx, identities: readonly string[], reason: string): Promise<void> {
  if (identities.length === 0) return
  await tx.query(
    `insert into both_hands (identity_id, reason, forced_at, forced_by) select i, $2, $3, $4 from unnest($1::uuid[]) i
     on conflict (identity_id) do update set reason = excluded.reason, forced_at = excluded.forced_at, forced_by = excluded.forced_by,
       apart = true`,
    [identities, reason, ctx.clock.now(), ctx.actor],
  )
}

/** What was said of everybody but these is over; and of those who need a role that gives both, what was said of them without it. */
export async function dropForced(tx: Tx, but: readonly Pick<BothHanded, 'id' | 'onlyWhole'>[]): Promise<void> {
  await tx.query('delete from both_hands where not identity_id = any($1::uuid[])', [but.map(({ id }) => id)])
  const whole = but.flatMap((one) => (one.onlyWhole ? [one.id] : []))
  await tx.query('update both_hands set apart = false where apart and identity_id = any($1::uuid[])', [whole])
}
