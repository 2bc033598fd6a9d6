import type { Sql } from '../store/index.ts'

/** An identity with its name. */
export interface Named {
  readonly id: string
  readonly name: string
}

/** Identities of any kind and status in these teams and in those nested in them, by name: who is suspended may come back. */
export async function everybodyIn(sql: Sql, teams: readonly string[]): Promise<Named[]> {
  if (teams.length === 0) return []
  return sql.query(
    `with recursive below(id) as (
       select unnest($1::uuid[]) union select n.child_id from team_nesting n join below b on n.parent_id = b.id)
     select i.id, i.name from identity i
      where i.id in (select m.identity_id from below b join team_member m on m.team_id = b.id) and i.status <> 'offboarded'
      order by i.name`,
    [teams],
  )
}

export async function namesOf(sql: Sql, identities: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = await sql.query<Named>('select id, name from identity where id = any($1::uuid[])', [identities])
  return new Map(found.map(({ id, name }) => [id, name]))
}
