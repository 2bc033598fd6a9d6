import { z } from 'zod'
import { changeTeam } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Id, Name, Reason } from '../../views.ts'
import { Team, teamView } from './views.ts'

const Members = z.strictObject({ identities: z.array(Id).max(1000).default([]), teams: z.array(Id).max(1000).default([]) })
const NOBODY = { identities: [], teams: [] }

export const changeMembersRoute = route({
  method: 'POST',
  path: '/v1/teams/:team/members',
  summary:
    'Adds and takes out direct members of a team that is kept by hand. Of one that holds roles this gives them: it asks for role:bind.',
  action: 'team:change',
  params: z.strictObject({ team: Name }),
  body: z.strictObject({
    add: Members.default(NOBODY),
    remove: Members.default(NOBODY),
    reason: Reason.optional().describe('Of a team that holds roles: why, for the evidence and for those who approve.'),
    force: z.boolean().default(false).describe('Although somebody then holds directory rights and credential rights. Needs a reason.'),
  }),
  answers: { 200: { what: 'The team', schema: Team } },
  problems: ['not_found', 'conflict', 'wrong_state', 'approval_required'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, params, body }) => ({
    status: 200,
    body: teamView(await changeTeam(parts, ctx, may, principal, params.team, { ...body, reason: body.reason ?? '' })),
  }),
})
