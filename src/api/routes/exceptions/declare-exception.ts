import { z } from 'zod'
import { declareException, EXCEPTION_KINDS, ON_MISSED } from '../../../credential/index.ts'
import { namingBy } from '../../../identity/index.ts'
import { route } from '../../route.ts'
import { Name, Reason, text } from '../../views.ts'
import { Exception } from './views.ts'

export const declareExceptionRoute = route({
  method: 'POST',
  path: '/v1/exceptions',
  summary: 'Declares an exception, with who answers for it, why, until when, and the migration that it waits for.',
  action: 'exception:declare',
  body: z.strictObject({
    kind: z.enum(EXCEPTION_KINDS),
    credential: Name,
    users: z.array(Name).max(100).default([]).describe('Who shares it, beside its own identity: by id or name.'),
    owner: text(220).describe('person: or team: with a name or id, or either alone.'),
    reason: Reason,
    waitsFor: Reason,
    endsAt: z.iso.datetime(),
    reviewEverySeconds: z
      .int()
      .min(60, 'A review comes a minute after the last one or later.')
      .max(31_622_400, 'A review comes at least once in 366 days.')
      .optional(),
    onMissed: z.enum(ON_MISSED).default('escalate').describe('What becomes of it when nobody reviews it in time.'),
  }),
  answers: { 201: { what: 'It is on record', schema: Exception } },
  problems: ['not_found', 'conflict'],
  startsWork: true,
  handle: async ({ parts, ctx, may, principal, body }) => {
    const naming = namingBy(parts.policies, ctx, principal)
    return { status: 201, body: await declareException(parts, ctx, may, naming, { ...body, endsAt: new Date(body.endsAt) }) }
  },
})
