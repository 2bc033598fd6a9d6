import { z } from 'zod'
import { planClosure } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Name, pageOf, pageQuery, slicePage } from '../../views.ts'
import { Planned } from './views.ts'

export const planClosureRoute = route({
  method: 'GET',
  path: '/v1/identities/:identity/closure-plan',
  summary: 'What would become of each credential of an identity if it were suspended or offboarded now. Changes nothing.',
  action: 'closure:plan',
  params: z.strictObject({ identity: Name }),
  query: z.strictObject(pageQuery),
  answers: { 200: { what: 'One page', schema: pageOf(Planned) } },
  problems: ['not_found'],
  handle: async ({ parts, may, params, query }) => {
    const planned = await planClosure(parts, may, params.identity)
    return { status: 200, body: slicePage(planned, query, ({ credential }) => credential) }
  },
})
