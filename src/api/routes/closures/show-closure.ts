import { z } from 'zod'
import { closureById } from '../../../credential/index.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'
import { Closure } from './views.ts'

export const showClosure = route({
  method: 'GET',
  path: '/v1/closures/:id',
  summary: 'One closure.',
  action: 'closure:read',
  params: z.strictObject({ id: Id }),
  answers: { 200: { what: 'The closure', schema: Closure } },
  problems: ['not_found'],
  handle: async ({ parts, may, params }) => ({ status: 200, body: await closureById(parts.store, may, params.id) }),
})
