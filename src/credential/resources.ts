/** What policy gets to know of a credential. */
import { type Identity, type IdentityRecord, identitiesById, recordsById } from '../identity/index.ts'
import { pageOfSeen, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine, type Resource } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'

/** What of a credential's row policy is told. */
export interface Subject {
  readonly id: string
  readonly system: string
  /** Null for the root credential of a system, which is in no environment: who is limited to some may not touch it. */
  readonly identity_id: string | null
}

/**
 * Throws `not_found` if the system may not be touched, as if it were not there: not yours must not tell that it exists. A system is in no
 * environment, so a proof that is limited to some reaches none.
 */
export function requireSystem(may: Allowed, name: string): void {
  if (!isMine(may, { type: 'system', id: name, system: name })) throw noSystem(name)
}

/** In the same words for one that is not there and one that may not be touched. */
export function noSystem(name: string): RekeyError {
  return new RekeyError('not_found', `No such system: ${name}`, { hint: 'See rekey system list.' })
}

/** The credentials as policy sees them, in the same order. */
export async function resourcesOf(sql: Sql, subjects: readonly Subject[]): Promise<Resource[]> {
  const identities = await identitiesById(sql, [...new Set(subjects.flatMap(({ identity_id }) => identity_id ?? []))])
  return subjects.map((subject) => resourceOf(subject, identities.get(subject.identity_id ?? '')))
}

function resourceOf({ id, system }: Subject, identity: Identity | undefined): Resource {
  return { type: 'credential', id, system, environment: identity?.environment, kind: identity?.kind }
}

/**
 * What is about a credential, or about an identity alone, as policy sees it in the lists of what stands: with the environment and kind of
 * the identity, and with who answers for it.
 */
export function standingResource(
  type: 'credential' | 'finding' | 'exception' | 'review',
  id: string,
  system: string | null,
  record: IdentityRecord | undefined,
): Resource {
  const { environment, kind, ownerId } = record ?? {}
  return { type, id, system: system ?? undefined, environment, kind, owner: ownerId ?? undefined }
}

/** A row of a list of what stands. */
export interface Standing {
  readonly id: string
  readonly system: string
  readonly identity_id: string | null
}

/** Which of these rows the asker may read. */
export async function mineBy(
  sql: Sql,
  may: Allowed,
  type: 'finding' | 'exception' | 'review',
  rows: readonly Standing[],
): Promise<(row: Standing) => boolean> {
  const records = await recordsById(sql, [...new Set(rows.flatMap(({ identity_id }) => identity_id ?? []))])
  return ({ id, system, identity_id }) => may.can(standingResource(type, id, system, records.get(identity_id ?? '')))
}

/** A page of the rows that the asker may read, as `pageOfSeen`. */
export function pageOfMine<R extends Standing>(
  sql: Sql,
  may: Allowed,
  type: 'finding' | 'exception' | 'review',
  { after = null, limit }: { readonly after?: string | null | undefined; readonly limit: number },
  read: (after: string | null, count: number) => Promise<readonly R[]>,
) {
  return pageOfSeen<R>(
    { after, limit },
    {
      read,
      cursorOf: ({ id }) => id,
      mine: async (found) => found.filter(await mineBy(sql, may, type, found)),
    },
  )
}

/** The credentials with these names as policy sees them, by name. */
export async function resourcesByName(sql: Sql, names: readonly string[]): Promise<Map<string, Resource>> {
  if (names.length === 0) return new Map()
  const found = await sql.query<Subject & { name: string }>(
    `select c.id, c.name, s.name as system, c.identity_id from credential c join system s on s.id = c.system_id
      where c.name = any($1::text[])`,
    [[...new Set(names)]],
  )
  const resources = await resourcesOf(sql, found)
  return new Map(found.map(({ name }, index) => [name, resources[index] ?? NOTHING]))
}

/** The credentials of a batch of rotations as policy sees them; empty for a batch that does not exist. */
export async function resourcesOfBatch(sql: Sql, batch: string): Promise<Resource[]> {
  const found = await sql.query<Subject>(
    `select c.id, s.name as system, c.identity_id
       from rotation r join credential c on c.id = r.credential_id join system s on s.id = c.system_id where r.batch_id = $1`,
    [batch],
  )
  return resourcesOf(sql, found)
}

/** Nothing that any policy permits something to. */
const NOTHING: Resource = { type: 'credential', id: '' }
