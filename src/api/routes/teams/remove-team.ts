import { z } from 'zod'
import { ownedByTeam } from '../../../credential/index.ts'
import { removeTeamByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason } from '../../views.ts'
import { Team, teamView } from './views.ts'

export const removeTeamRoute = route({
  method: 'POST',
  path: '/v1/teams/:team/remove',
  summary: 'Removes a team that is kept by hand, unless it owns anything, approves anything, or holds roles: the answer says what.',
  action: 'team:remove',
  params: z.strictObject({ team: Name }),
  body: z.strictObject({ reason: Reason }),
  answers: { 200: { what: 'The team as it was', schema: Team } },
  problems: ['not_found', 'conflict', 'wrong_state'],
  handle: async ({ parts, ctx, may, params, body }) => ({
    status: 200,
    body: teamView(await removeTeamByHand(parts, ctx, may, params.team, { ...body, alsoOwned: ownedByTeam })),
  }),
})
