import { z } from 'zod'
import { renameTeamByHand } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { Team, teamView } from './views.ts'

export const renameTeamRoute = route({
  method: 'POST',
  path: '/v1/teams/:team/rename',
  summary: 'Gives a team that is kept by hand another name. Its id, members, roles and what it owns stay.',
  action: 'team:change',
  params: z.strictObject({ team: Name }),
  body: z.strictObject({ name: Name }),
  answers: { 200: { what: 'The team', schema: Team } },
  problems: ['not_found', 'conflict', 'wrong_state'],
  handle: async ({ parts, ctx, may, params, body }) => ({
    status: 200,
    body: teamView(await renameTeamByHand(parts, ctx, may, params.team, body.name)),
  }),
})
