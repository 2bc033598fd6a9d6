import type { Sql, Tx } from '../store/index.ts'

/** A text that is not folded yet, of this identity or user. */
export interface Unfolded {
  readonly id: string
  readonly text: string
}

export type Folded = Unfolded & { readonly key: string }

const FOLDED = `jsonb_to_recordset($1::jsonb) as k(id uuid, text text, key text)`

/** In the order in which they joined. */
export function unfoldedNames(sql: Sql, limit: number): Promise<Unfolded[]> {
  return sql.query('select id, name as text from identity where name_key is null order by created_at, id limit $1', [limit])
}

/** Of those that fold alike the first keeps 0; who has it already keeps it. */
export async function foldNames(tx: Tx, found: readonly Folded[]): Promise<void> {
  await tx.query(
    `update identity t set name_key = f.key, name_nth = f.nth
       from (select i.id, k.key, coalesce((select max(o.name_nth) + 1 from identity o where o.name_key = k.key), 0)
                      + row_number() over (partition by k.key order by i.created_at, i.id) - 1 as nth
               from ${FOLDED} join identity i on i.id = k.id) f
      where t.id = f.id`,
    [JSON.stringify(found)],
  )
}

export function unfoldedEmails(sql: Sql, limit: number): Promise<Unfolded[]> {
  return sql.query('select user_id as id, email_key as text from scim_email where address is null limit $1', [limit])
}

export async function foldEmails(tx: Tx, found: readonly Folded[]): Promise<void> {
  await tx.query(`update scim_email t set address = k.key from ${FOLDED} where t.user_id = k.id and t.email_key = k.text`, [
    JSON.stringify(found),
  ])
}

export function unfoldedLabels(sql: Sql, limit: number): Promise<Unfolded[]> {
  return sql.query("select identity_id as id, value as text from identity_label where key = 'email' and address is null limit $1", [limit])
}

export async function foldLabels(tx: Tx, found: readonly Folded[]): Promise<void> {
  await tx.query(`update identity_label t set address = k.key from ${FOLDED} where t.identity_id = k.id and t.key = 'email'`, [
    JSON.stringify(found),
  ])
}

/** Those of names that fold alike that came later. */
export async function alikeNames(sql: Sql): Promise<string[]> {
  const found = await sql.query<{ name: string }>('select name from identity where name_nth > 0 order by name_key limit 1000')
  return found.map(({ name }) => name)
}
