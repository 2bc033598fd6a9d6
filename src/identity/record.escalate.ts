/** Who is told that whoever should have looked at something did not. */
import type { Sql } from '../store/index.ts'
import { type Answerable, recordsById } from './record.lookup.ts'
import type { IdentityRecord, OwnerRef } from './record.model.ts'
import { securityContact } from './team.actions.ts'
import { SECURITY_CONTACT } from './team.model.ts'
import { teamsWithPeople } from './team.store.ts'

/** What was not looked at: whose it is, and who answers for it besides; null where there is nobody. */
export interface Unlooked {
  readonly identity: string | null
  readonly owner: Answerable | null
}

/** Who is told. The first answers for it; `reached` is false where no active person is among them. */
export interface Escalated {
  readonly to: readonly [Answerable, ...Answerable[]]
  readonly reached: boolean
}

/**
 * Whom each of these is told, in the same order: the owner's owner, where that is somebody else, or the owning team, with people besides
 * the one who did not look; else the owners themselves, with the security contact, so that it is not only they who know; else the security
 * contact alone. The owner of what was declared comes first, then that of the identity. Only active people, and teams with one, count.
 */
export async function escalationsOf(sql: Sql, asked: readonly Unlooked[]): Promise<Escalated[]> {
  const records = await recordsById(
    sql,
    asked.flatMap(({ identity }) => identity ?? []),
  )
  const owned = asked.map(({ identity, owner }) => [owner, ownerNow(records.get(identity ?? ''))].filter((one) => one !== null))
  const named = owned.flat()
  const people = await recordsById(sql, idsOf(named, 'person'))
  const peopled = await teamsWithPeople(sql, [...idsOf(named, 'team'), SECURITY_CONTACT])
  const contact: Answerable = { kind: 'team', id: SECURITY_CONTACT, name: (await securityContact(sql)).name }
  return owned.map((owners): Escalated => {
    const answering = owners.filter(({ kind, id }) => (kind === 'team' ? peopled.has(id) : people.get(id)?.status === 'active'))
    const above = answering.flatMap((one) => (one.kind === 'team' ? one : (ownerAbove(people.get(one.id)) ?? [])))
    const [first] = above
    if (first !== undefined) return { to: [first], reached: true }
    const watched = peopled.has(SECURITY_CONTACT)
    const [own, ...others] = [...new Map(answering.map((one) => [one.id, one])).values()]
    if (own === undefined) return { to: [contact], reached: watched }
    return { to: [own, ...others, ...(watched ? [contact] : [])], reached: true }
  })
}

/** The owner who answers now; a person may own themselves. */
function ownerNow(record: IdentityRecord | undefined): Answerable | null {
  if (record?.ownerId == null) return null
  const { ownerId: id, ownerState: kind, owner: name } = record
  return kind === 'person' || kind === 'team' ? { kind, id, name } : null
}

function ownerAbove(record: IdentityRecord | undefined): Answerable | null {
  const owner = ownerNow(record)
  return owner?.id === record?.id ? null : owner
}

const idsOf = (owners: readonly OwnerRef[], kind: OwnerRef['kind']) => [
  ...new Set(owners.flatMap((one) => (one.kind === kind ? one.id : []))),
]
