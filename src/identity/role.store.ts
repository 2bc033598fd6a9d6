import { type Ctx, newId } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { SubjectKind } from './role.model.ts'

export interface NewBinding {
  readonly role: string
  readonly kind: SubjectKind
  readonly id: string
  readonly reason: string
}

/** Resolves with the binding's id; null if the subject has the role already. */
export async function addBinding(tx: Tx, ctx: Ctx, { role, kind, id, reason }: NewBinding): Promise<string | null> {
  const [row] = await tx.query<{ id: string }>(
    `insert into role_binding (id, role, subject_kind, subject_id, created_by, reason) values ($1, $2, $3, $4, $5, $6)
     on conflict (subject_kind, subject_id, role) do nothing returning id`,
    [newId(ctx.clock.now().getTime()), role, kind, id, ctx.actor, reason],
  )
  return row?.id ?? null
}

/** Roles of one identity, its teams and one token together, each once, by name. */
export async function rolesHeld(sql: Sql, identity: string | null, teams: readonly string[], token: string | null): Promise<string[]> {
  const rows = await sql.query<{ role: string }>(
    `select distinct role collate "C" as role from role_binding
      where (subject_kind = 'identity' and subject_id = $1::uuid) or (subject_kind = 'team' and subject_id = any($2::uuid[]))
         or (subject_kind = 'token' and subject_id = $3::uuid) order by 1`,
    [identity, teams, token],
  )
  return rows.map(({ role }) => role)
}
