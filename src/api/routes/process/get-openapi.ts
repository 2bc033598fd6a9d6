import { z } from 'zod'
import { route } from '../../route.ts'

export const getOpenapi = route({
  method: 'GET',
  path: '/v1/openapi.json',
  summary: 'This document.',
  action: null,
  answers: { 200: { what: 'OpenAPI 3.1', schema: z.looseObject({ openapi: z.string() }) } },
  problems: [],
  handle: async ({ openapi }) => ({ status: 200, body: openapi() }),
})
