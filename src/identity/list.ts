import type { Sql } from '../store/index.ts'
import type { Identity } from './model.ts'
import * as rows from './store.ts'

/** Every identity, by name (in code point order). */
export async function listIdentities(sql: Sql): Promise<Identity[]> {
  return rows.listIdentities(sql)
}

/** The identities with these ids, by id. One that does not exist is not in the map. */
export async function identitiesById(sql: Sql, ids: readonly string[]): Promise<Map<string, Identity>> {
  if (ids.length === 0) return new Map()
  return new Map((await rows.identitiesById(sql, ids)).map((identity) => [identity.id, identity]))
}

/** How many identities there are. */
export async function countIdentities(sql: Sql): Promise<number> {
  return rows.countIdentities(sql)
}
