import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, isId, type Json, RekeyError } from '../kernel/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { Naming } from './naming.ts'
import { LIGHT, type LightRow } from './record.list.ts'
import { checkText, type OwnerRef } from './record.model.ts'
import { personById, type Row, resolveOwners } from './record.store.ts'
import { teamById, teamsByName, teamsWithPeople } from './team.store.ts'

/** Who shall answer for an identity: by id, or by a text that is resolved when exactly one person or team of its tenancy has that name. */
export type OwnerInput = OwnerRef | { readonly kind: 'name'; readonly name: string }

/** An event of one identity. */
export function identityEvent(type: string, row: Pick<Row, 'id' | 'name'>, data: Record<string, Json>): EvidenceEvent {
  return { log: 'identity', type, subject: row.name, links: { identity: row.id }, data }
}

/** The facts of an owner as events tell them: all three, so that the later word replaces the earlier. */
export function ownerFacts(row: Pick<Row, 'owner' | 'owner_identity_id' | 'owner_team_id'>): Record<string, Json> {
  return { owner: row.owner, ownerPerson: row.owner_identity_id, ownerTeam: row.owner_team_id }
}

/** Looks for owners that are texts of these names, and records whom they now name. */
export async function recordResolved(tx: Tx, ctx: Ctx, names: readonly string[]): Promise<void> {
  const resolved = names.length === 0 ? [] : await resolveOwners(tx, names)
  await append(
    tx,
    ctx,
    resolved.map((row) => identityEvent('identity.owner_resolved', row, { after: ownerFacts(row) })),
  )
}

/** The columns of a wanted owner. Throws `not_found`, or `bad_input` for a team that nobody is in and for a person who has left. */
export async function ownerOf(tx: Tx, wanted: OwnerInput): Promise<Pick<Row, 'owner' | 'owner_identity_id' | 'owner_team_id'>> {
  if (wanted.kind === 'name') return { owner: checkText('owner', wanted.name), owner_identity_id: null, owner_team_id: null }
  if (wanted.kind === 'person') {
    const person = await personById(tx, wanted.id)
    if (person === null) throw new RekeyError('not_found', `No such person: ${wanted.id}`, { hint: 'Only people and teams own.' })
    // What they owned was handed over when they left: nothing more comes to them.
    if (person.left_at !== null)
      throw new RekeyError('bad_input', `${person.name} has left and answers for nothing.`, { hint: 'Name somebody else.' })
    return { owner: person.name, owner_identity_id: person.id, owner_team_id: null }
  }
  const team = await teamById(tx, wanted.id)
  if (team === null) throw new RekeyError('not_found', `No such team: ${wanted.id}`)
  if (!(await teamsWithPeople(tx, [team.id])).has(team.id)) {
    throw new RekeyError('bad_input', 'This team has no active person: it cannot answer for anything.', { hint: 'Add people first.' })
  }
  return { owner: team.name, owner_identity_id: null, owner_team_id: team.id }
}

/**
 * Whom a text names as owner: `person:` or `team:` with a name or an id, or either alone. Throws `not_found` if it names nobody, or nobody
 * that the asker may name; `conflict` if it names several that they may. A name is looked for in the tenancy, an id everywhere.
 */
export async function findOwner(sql: Sql, naming: Naming, text: string, tenancy: string): Promise<OwnerRef> {
  const match = /^(person|team):(.+)$/s.exec(text)
  const [only, name] = match === null ? [null, text] : [match[1], match[2] ?? '']
  const found: OwnerRef[] = []
  if (only !== 'team') {
    const [person = null] = await sql.query<LightRow>(
      `select ${LIGHT} from identity where ${isId(name) ? 'id = $1 and $2::text is not null' : 'name = $1 and tenancy = $2'}
          and kind = 'human' and status <> 'offboarded' and left_at is null`,
      [name, tenancy],
    )
    if (naming.identity(person) && person !== null) found.push({ kind: 'person', id: person.id })
  }
  if (only !== 'person') {
    const named = isId(name) ? [await teamById(sql, name)] : await teamsByName(sql, name)
    const teams = named.filter((team) => team !== null).filter((team) => isId(name) || team.tenancy === tenancy)
    found.push(...teams.filter(({ id }) => naming.team(id)).map(({ id }) => ({ kind: 'team', id }) as const))
  }
  const [first, second] = found
  if (first === undefined) throw new RekeyError('not_found', `No person or team: ${name}`, { hint: 'Only people and teams own.' })
  if (second !== undefined) {
    throw new RekeyError('conflict', `Several people or teams are called ${name}.`, { hint: 'Write person:ID or team:ID.' })
  }
  return first
}
