import type { Sql } from '../store/index.ts'
import * as rows from './role.store.ts'

/** Whose roles are asked for. Nothing is looked up for what is left out. */
export interface RoleHolder {
  readonly identity?: string | null
  /** Immutable ids, nesting resolved. */
  readonly teams?: readonly string[]
  readonly token?: string | null
}

/** The roles that an identity, its teams and a token are bound to, together: what belongs into `Principal.roles`. By name, each once. */
export async function rolesOf(sql: Sql, { identity = null, teams = [], token = null }: RoleHolder): Promise<string[]> {
  return rows.rolesHeld(sql, identity, teams, token)
}
