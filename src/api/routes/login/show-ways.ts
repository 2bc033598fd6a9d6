import { z } from 'zod'
import { loginProviderNames } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'

export const showWaysRoute = route({
  method: 'GET',
  path: '/v1/login',
  summary: 'By what one can log in here: names of the providers, for the buttons of a login page. Passkeys and codes always.',
  action: null,
  answers: { 200: { what: 'The ways in', schema: z.object({ providers: z.array(z.string()) }).meta({ id: 'LoginWays' }) } },
  problems: [],
  handle: async ({ parts }) => ({ status: 200, body: { providers: await loginProviderNames(parts.store) } }),
})
