import { type Ctx, isId, LIMITS, pageOfSeen, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import type { RecordParts } from './record.actions.ts'
import { putTeam } from './team.actions.ts'
import type { Team } from './team.model.ts'
import * as rows from './team.store.ts'

/** A page of teams: `after` is the id of the last one seen. */
export interface TeamPage {
  readonly tenancy?: string
  readonly source?: string
  readonly name?: string
  readonly after?: string
  readonly limit: number
}

/** Teams in the order in which they were made. */
export async function readTeams(
  parts: RecordParts,
  _ctx: Ctx,
  may: Allowed<'team:read'>,
  page: TeamPage,
): Promise<{ readonly items: Team[]; readonly next: string | null }> {
  const limit = Math.max(1, Math.min(page.limit, LIMITS.pageMax))
  const { after = null, ...filter } = page
  return pageOfSeen(
    { after, limit },
    {
      read: (from, count) => rows.listTeams(parts.store, { ...filter, ...(from !== null && { after: from }), limit: count }),
      cursorOf: ({ id }) => id,
      mine: (found) => found.filter(({ id }) => may.can({ type: 'team', id })),
    },
  )
}

/** One team by id, or by a name that only one has, with its own members and how many active people are in it, nested teams included. */
export interface TeamDetail extends Team {
  readonly people: number
  readonly nested: readonly { readonly id: string; readonly name: string }[]
  readonly parents: readonly { readonly id: string; readonly name: string }[]
  readonly owns: number
}

/** Throws `not_found`, also for one that the asker may not read; `conflict` if several that they may read have the name. */
export async function readTeam(parts: RecordParts, _ctx: Ctx, may: Allowed<'team:read'>, idOrName: string): Promise<TeamDetail> {
  const team = await mineNamed(parts.store, may, idOrName)
  return { ...team, ...(await rows.around(parts.store, team.id)) }
}

/**
 * The team of this id, or the only one of this name among those that the asker may act on. Throws `not_found`, in the same words for one
 * that is not theirs; `conflict` if several of theirs have the name.
 */
export async function mineNamed(sql: Sql, may: Allowed<'team:read' | 'team:change' | 'team:remove'>, idOrName: string): Promise<Team> {
  const byId = isId(idOrName) ? await rows.teamById(sql, idOrName) : null
  const found = byId === null ? await rows.teamsByName(sql, idOrName) : [byId]
  const [first, second] = found.filter(({ id }) => isMine(may, { type: 'team', id }))
  if (first === undefined) noTeam(idOrName)
  if (second !== undefined) throw new RekeyError('conflict', `Several teams are called ${idOrName}.`, { hint: 'Name it by its id.' })
  return first
}

/** Makes a team by hand (`team.created`). Throws `bad_input`. */
export async function createTeam(
  parts: RecordParts,
  ctx: Ctx,
  may: Allowed<'team:create'>,
  fields: { readonly name: string; readonly tenancy?: string },
): Promise<Team> {
  may.check({ type: 'team', id: 'new' })
  const id = await parts.store.inTx((tx) => putTeam(tx, ctx, fields))
  return (await rows.teamById(parts.store, id)) ?? noTeam(id)
}

/** The same words for a team that is not there and for one that is not the asker's. */
export function noTeam(idOrName: string): never {
  throw new RekeyError('not_found', `No such team: ${idOrName}`, { hint: 'See rekey team list.' })
}
