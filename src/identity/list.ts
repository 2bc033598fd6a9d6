import type { Sql } from '../store/index.ts'
import type { Identity } from './model.ts'
import * as rows from './store.ts'

/**
 * The identities that a fleet file speaks of, by name (in code point order): those that one declared, and those of `names`, which may
 * have come from elsewhere. So a file neither shows nor removes what a directory manages, and may name it.
 */
export async function fleetIdentities(sql: Sql, names: readonly string[]): Promise<Identity[]> {
  return rows.fleetIdentities(sql, names)
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
