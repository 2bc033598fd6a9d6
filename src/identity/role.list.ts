import { type Action, type Family, holdersOf, type PolicySet } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import type { Binding } from './role.model.ts'
import * as rows from './role.store.ts'

/** Whose roles are asked for. Nothing is looked up for what is left out. */
export interface RoleHolder {
  readonly identity?: string | null
  /** Immutable ids, nesting resolved. */
  readonly teams?: readonly string[]
  readonly token?: string | null
}

/**
 * The roles that an identity, its teams and a token are bound to, together: what belongs into `Principal.roles` and `.provided`. By name,
 * each once.
 */
export async function rolesOf(sql: Sql, { identity = null, teams = [], token = null }: RoleHolder): Promise<rows.Held> {
  return rows.rolesHeld(sql, identity, teams, token)
}

/** A role that the policies in force give something to. */
export interface RoleView {
  readonly role: string
  /** Families in which it may change something. */
  readonly families: readonly Family[]
  /** What it may do at most; conditions may narrow it. */
  readonly actions: readonly Action[]
  /** Why it may hold directory rights and credential rights together; null: it does not. */
  readonly forced: string | null
}

/** The roles of a set, by name. */
export function rolesIn(set: PolicySet): RoleView[] {
  return holdersOf(set.policies).flatMap(({ role, families, actions, forced }) =>
    role === null ? [] : [{ role, families: [...families].sort(), actions: [...actions], forced }],
  )
}

/** Who holds which role, oldest first, after the binding `after`; at most `limit`. */
export async function listBindings(sql: Sql, after: string | null, limit: number): Promise<Binding[]> {
  const found = await rows.listBindings(sql, after, limit)
  return found.map(({ created_at, created_by, ...rest }) => ({ ...rest, createdAt: created_at.toISOString(), createdBy: created_by }))
}
