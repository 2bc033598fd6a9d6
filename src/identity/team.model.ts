import { checkName, checkText, RECORD_LIMITS, refuse } from './record.model.ts'

/** A team or group. Keyed by `id`: the same name in two tenancies, or from two sources, is two teams. */
export interface Team {
  readonly id: string
  readonly name: string
  readonly tenancy: string
  /** Who says that it exists: `api`, `scim:<provider>`; `rekey` for the one that is always there. */
  readonly source: string
  /** Its id at the source; null if it has none. */
  readonly externalId: string | null
  readonly createdAt: Date
  readonly changedAt: Date
  /** Counts its changes from 1. */
  readonly revision: number
}

/** A team to be made, or, by `id` or by source and external id, to be changed. */
export interface TeamFields {
  readonly id?: string
  readonly source?: string
  readonly externalId?: string | null
  readonly name: string
  /** Set when it is made, and kept from then on. */
  readonly tenancy?: string
}

/** Direct members by id: identities of any kind, and teams nested in it. */
export interface Members {
  readonly identities?: readonly string[]
  readonly teams?: readonly string[]
}

/** The team that answers for what nobody else does. It is always there; who is in it is the installation's to say. */
export const SECURITY_CONTACT = '00000000-0000-7000-8000-000000000001'
/** The source of that team. */
export const BUILT_IN = 'rekey'

/** Checks the texts of a team. Throws `bad_input`. */
export function checkTeam({ name, source, externalId, tenancy }: TeamFields): void {
  checkName('name of the team', name)
  if (source !== undefined) checkText('source', source)
  if (source === BUILT_IN) refuse('This source is Rekey itself.')
  if (tenancy !== undefined) checkText('tenancy', tenancy)
  if (externalId !== undefined && externalId !== null) checkText('external id', externalId, RECORD_LIMITS.externalIdChars)
}

/** The members without repeats. Throws `bad_input` if there are too many. */
export function checkMembers({ identities = [], teams = [] }: Members): Required<Members> {
  const once = { identities: [...new Set(identities)], teams: [...new Set(teams)] }
  const count = once.identities.length + once.teams.length
  if (count > RECORD_LIMITS.members) refuse(`There are ${count} members in one call; at most ${RECORD_LIMITS.members} may be given.`)
  return once
}
