import type { Sql } from '../store/index.ts'
import { PROVIDED } from './role.store.ts'
import { GOOD } from './token.store.ts'

/** Whether one of these identities, who has not left, holds anything by hand; those of `named` do by the policies. */
export async function someHoldByHand(sql: Sql, ids: readonly string[], named: readonly string[]): Promise<boolean> {
  const found = await sql.query(
    `select from identity i where i.id = any($1::uuid[]) and i.status <> 'offboarded' and (
       exists (select from role_binding b where b.subject_kind = 'identity' and b.subject_id = i.id)
       or exists (select from team_member m join team t on t.id = m.team_id where m.identity_id = i.id and not ${PROVIDED})
       or exists (select from api_token t
                   where (t.identity_id = i.id or t.acts_for_id = i.id or t.makers @> array[i.id]) and ${GOOD})
       or exists (select from scim_token t where t.makers @> array[i.id] and ${GOOD})
       or exists (select from both_hands f where f.identity_id = i.id)
       or i.id = any($2::uuid[])) limit 1`,
    [ids, named],
  )
  return found.length > 0
}
