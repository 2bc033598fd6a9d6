import { z } from 'zod'
import type { Team as TeamRecord } from '../../../identity/index.ts'

const Time = z.iso.datetime()
const Named = z.object({ id: z.string(), name: z.string() })
const shape = {
  id: z.string(),
  name: z.string(),
  tenancy: z.string(),
  source: z.string(),
  externalId: z.string().nullable(),
  createdAt: Time,
  changedAt: Time,
  revision: z.int(),
}

export const Team = z.object(shape).meta({ id: 'Team' })

/** With what is around it. */
export const TeamFull = z
  .object({
    ...shape,
    people: z.int().describe('Active people, nested teams included.'),
    owns: z.int().describe('Identities that it answers for.'),
    nested: z.array(Named),
    parents: z.array(Named),
  })
  .meta({ id: 'TeamFull' })

export function teamView<T extends TeamRecord>(team: T) {
  return { ...team, createdAt: team.createdAt.toISOString(), changedAt: team.changedAt.toISOString() }
}
