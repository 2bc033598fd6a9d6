import { z } from 'zod'
import { finishEnrolment } from '../../../identity/login/index.ts'
import { route } from '../../route.ts'
import { Id } from '../../views.ts'
import { EnrolmentResponse } from './views.ts'

const Enrolled = z.object({ passkey: z.string(), name: z.string(), deviceBound: z.boolean() }).meta({ id: 'EnrolledPasskey' })

export const finishEnrolmentRoute = route({
  method: 'POST',
  path: '/v1/passkeys/enrol/finish',
  summary: 'Finishes the enrolment of a passkey with what the authenticator answered.',
  action: 'passkey:enrol',
  body: z.strictObject({ challenge: Id, response: EnrolmentResponse }),
  answers: { 201: { what: 'It can be used', schema: Enrolled } },
  problems: ['proof_refused', 'conflict', 'wrong_state'],
  handle: async ({ parts, ctx, may, browser, body }) => {
    const { id, name, deviceBound } = await finishEnrolment(parts, ctx, may, browser(), body.challenge, body.response)
    return { status: 201, body: { passkey: id, name, deviceBound } }
  },
})
