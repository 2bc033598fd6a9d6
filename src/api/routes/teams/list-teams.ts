import { z } from 'zod'
import { readTeams } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Name, pageOf, pageQuery } from '../../views.ts'
import { defined } from '../identities/views.ts'
import { Team, teamView } from './views.ts'

export const listTeamsRoute = route({
  method: 'GET',
  path: '/v1/teams',
  summary: 'Teams in the order in which they were made. The same name may stand for several: the id tells them apart.',
  action: 'team:read',
  query: z.strictObject({
    ...pageQuery,
    after: Id.optional(),
    name: Name.optional(),
    tenancy: Name.optional(),
    source: Name.optional(),
  }),
  answers: { 200: { what: 'One page', schema: pageOf(Team) } },
  problems: [],
  handle: async ({ parts, ctx, may, query }) => {
    const { items, next } = await readTeams(parts, ctx, may, defined(query))
    return { status: 200, body: { items: items.map(teamView), next } }
  },
})
