/** When a living credential of somebody who has left may get another identity, and what stands in the way. */
import type { Tx } from '../store/index.ts'
import { isInstanceOf } from './consumer.whose.ts'

/** A credential that a file takes from somebody who has left. */
export interface Leaving {
  readonly name: string
  /** Name of who has left. */
  readonly from: string
}

interface Row {
  readonly name: string
  readonly planned: boolean
  readonly open: string | null
  readonly waits: boolean
  readonly current: boolean
  readonly known: boolean
}

/**
 * Locks these credentials and says of each what keeps it with who has left; missing: nothing does. It may go once their closure has it no
 * more and every value that could authenticate came from a rotation since, which left their consumers out. What they know is dead then, or
 * stays a finding of its own (`unprovable`, `irrevocable`). The lock keeps `credential end` away, which would end it under its new holder.
 */
export async function keptByLeavers(tx: Tx, leaving: readonly Leaving[]): Promise<ReadonlyMap<string, string>> {
  if (leaving.length === 0) return new Map()
  const names = leaving.map(({ name }) => name)
  await tx.query('select id from credential where name = any($1::text[]) order by id for update', [names])
  const rows = await tx.query<Row>(
    `select c.name, o.id is not null as planned, i.closure_id as open, coalesce(i.state in ('blocked', 'handed_over'), false) as waits,
            exists (select 1 from version v where v.credential_id = c.id and v.state = 'current') as current,
            exists (select 1 from version v
                     where v.credential_id = c.id and v.state in ('staged', 'current', 'previous') and not exists (
                       select 1 from rotation n where n.credential_id = c.id and n.new_version_id = v.id
                          and n.created_at > coalesce(e.created_at, o.created_at))) as known
       from credential c
       left join lateral (select id, created_at from closure o where o.identity_id = c.identity_id and o.credential_id is null
                             and o.goal = 'destroy' order by o.id limit 1) o on true
       left join closure_item i on i.credential_id = c.id and i.relation = 'own' and i.ended_at is null
       left join lateral (select e.created_at from closure_item e join closure x on x.id = e.closure_id
                           where e.credential_id = c.id and e.relation = 'own' and x.identity_id = c.identity_id and x.goal = 'destroy'
                           order by e.id desc limit 1) e on true
      where c.name = any($1::text[]) and not c.is_root`,
    [names],
  )
  const fromOf = new Map(leaving.map(({ name, from }) => [name, from]))
  return new Map(rows.flatMap((row) => whyKept(row, fromOf.get(row.name) ?? '').map((why) => [row.name, why] as const)))
}

function whyKept({ name, planned, open, waits, current, known }: Row, from: string): string[] {
  if (open !== null && waits) return [`a human has it in the closure of ${from}. End that first: rekey closure show ${open}`]
  if (!planned || open !== null) {
    const where = open === null ? 'rekey closure list' : `rekey closure show ${open}`
    return [`its value ends, or is replaced for others who use it, with ${from}. Wait for that: ${where}`]
  }
  if (!current) return [`nobody could revoke the value that ${from} knows. Once its account is gone, take it out with --prune`]
  return known ? [`${from} knows its value. Replace it first: rekey rotation start ${name}`] : []
}

/** A consumer as a file leaves it. */
interface Left {
  readonly name: string
  readonly identity: string | null
}

/**
 * Of the consumers that a credential would have, those that are the leaver's by their name alone, as instances of who has it: with another
 * holder they would be nobody's, and be served. `named`: what is called exactly like an identity is that one's.
 */
export function lostByName(consumers: readonly Left[], from: string, named: ReadonlyMap<string, string>): string[] {
  return consumers.flatMap(({ name, identity }) => (identity === null && !named.has(name) && isInstanceOf(name, from) ? [name] : []))
}
