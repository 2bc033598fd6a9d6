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

export interface BindingRow {
  readonly id: string
  readonly role: string
  readonly kind: SubjectKind
  readonly subject: string
  readonly name: string | null
  readonly created_at: Date
  readonly created_by: string
  readonly reason: string
}

const BINDING = `b.id, b.role, b.subject_kind as kind, b.subject_id as subject, coalesce(i.name, t.name) as name,
    b.created_at, b.created_by, b.reason
  from role_binding b
  left join identity i on b.subject_kind = 'identity' and i.id = b.subject_id
  left join api_token t on b.subject_kind = 'token' and t.id = b.subject_id`

export async function listBindings(sql: Sql, after: string | null, limit: number): Promise<BindingRow[]> {
  return sql.query(`select ${BINDING} where ($1::uuid is null or b.id > $1) order by b.id limit $2`, [after, limit])
}

export async function removeBinding(tx: Tx, id: string): Promise<BindingRow | null> {
  const [row] = await tx.query<BindingRow>(`select ${BINDING} where b.id = $1 for update of b`, [id])
  if (row !== undefined) await tx.query('delete from role_binding where id = $1', [id])
  return row ?? null
}

export async function rolesBoundTo(sql: Sql, kind: SubjectKind, id: string): Promise<string[]> {
  const found = await sql.query<{ role: string }>('select role from role_binding where subject_kind = $1 and subject_id = $2', [kind, id])
  return found.map(({ role }) => role)
}

/** Id of what a role is to be bound to: by name or id, where there is exactly one; a revoked token is none. */
export async function subjectsNamed(sql: Sql, kind: 'identity' | 'token', name: string): Promise<string[]> {
  const text =
    kind === 'identity'
      ? 'select id from identity where name = $1 or id::text = $1'
      : 'select id from api_token where (name = $1 or id::text = $1) and revoked_at is null and (expires_at is null or expires_at > now())'
  return (await sql.query<{ id: string }>(text, [name])).map(({ id }) => id)
}

export interface BoundSubject {
  readonly kind: SubjectKind
  readonly id: string
  /** Of an identity: what it is. */
  readonly what: 'human' | 'workload' | 'machine' | 'agent' | null
  readonly roles: readonly string[]
  /** Of an identity: whether it is active; true of everything else. */
  readonly active: boolean
}

/** Everything that holds a role and can still prove itself. */
export async function boundSubjects(sql: Sql): Promise<BoundSubject[]> {
  return sql.query(
    `select b.subject_kind as kind, b.subject_id as id, i.kind as what, array_agg(b.role order by b.role) as roles,
            coalesce(i.status = 'active', true) as active
       from role_binding b
       left join identity i on b.subject_kind = 'identity' and i.id = b.subject_id
       left join api_token t on b.subject_kind = 'token' and t.id = b.subject_id
      where b.subject_kind = 'team' or i.id is not null
         or (t.id is not null and t.revoked_at is null and (t.expires_at is null or t.expires_at > now()))
      group by b.subject_kind, b.subject_id, i.kind, i.status`,
  )
}
