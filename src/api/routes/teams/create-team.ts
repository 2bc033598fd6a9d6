import { z } from 'zod'
import { createTeam } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name } from '../../views.ts'
import { defined } from '../identities/views.ts'
import { Team, teamView } from './views.ts'

export const createTeamRoute = route({
  method: 'POST',
  path: '/v1/teams',
  summary: 'Makes a team by hand.',
  action: 'team:create',
  body: z.strictObject({ name: Name, tenancy: Name.optional() }),
  answers: { 201: { what: 'The team', schema: Team } },
  problems: ['conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, body }) => ({ status: 201, body: teamView(await createTeam(parts, ctx, may, defined(body))) }),
})
