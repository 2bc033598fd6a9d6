import { z } from 'zod'
import { readTeam } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { TeamFull, teamView } from './views.ts'

export const showTeam = route({
  method: 'GET',
  path: '/v1/teams/:team',
  summary: 'One team by id, or by a name that only one has. Its members: GET /v1/identities?team=ID.',
  action: 'team:read',
  params: z.strictObject({ team: Name }),
  answers: { 200: { what: 'The team', schema: TeamFull } },
  problems: ['not_found', 'conflict'],
  handle: async ({ parts, ctx, may, params }) => {
    const found = await readTeam(parts, ctx, may, params.team)
    return { status: 200, body: { ...teamView(found), nested: [...found.nested], parents: [...found.parents] } }
  },
})
