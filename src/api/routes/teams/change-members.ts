import { z } from 'zod'
import { changeTeam } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Name } from '../../views.ts'
import { Team, teamView } from './views.ts'

const Members = z.strictObject({ identities: z.array(Id).max(1000).default([]), teams: z.array(Id).max(1000).default([]) })
const NOBODY = { identities: [], teams: [] }

export const changeMembersRoute = route({
  method: 'POST',
  path: '/v1/teams/:team/members',
  summary: 'Adds and takes out direct members of a team that is kept by hand.',
  action: 'team:change',
  params: z.strictObject({ team: Name }),
  body: z.strictObject({ add: Members.default(NOBODY), remove: Members.default(NOBODY) }),
  answers: { 200: { what: 'The team', schema: Team } },
  problems: ['not_found', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, params, body }) => ({
    status: 200,
    body: teamView(await changeTeam(parts, ctx, may, params.team, body)),
  }),
})
