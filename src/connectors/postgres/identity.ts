import { factsOf } from '../server.ts'

/**
 * Made by `initdb`, kept for the life of the cluster, and readable by every account unless somebody revoked that. A physical replica, a
 * restored base backup and a copied data folder have that of their origin.
 */
export const SYSTEM_IDENTIFIER = 'SELECT system_identifier::pg_catalog.text AS id FROM pg_catalog.pg_control_system()'

/** The answer to `SYSTEM_IDENTIFIER` as a fact; none if it was not answered. */
export function factsOfSystem(id: string | null | undefined): Record<string, string> {
  return factsOf({ system_identifier: id })
}
