import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { ApprovalRequired } from '../identity/index.ts'
import { ERRORS, type ErrorCode, framesOf, type Log, RekeyError } from '../kernel/index.ts'
import { StepUpRequired } from '../policy/index.ts'
import { errorPage } from './pages.ts'

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

/** What went wrong, as RFC 9457 section 3 shapes it, with our code, hint and faults as extension members. */
export const Problem = z
  .object({
    type: z.string().describe('The page that explains the code: a path of this server, open to everybody.'),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    detail: z.string(),
    hint: z.string().optional().describe('What to do next.'),
    faults: z
      .array(z.object({ message: z.string(), path: z.string().optional(), line: z.int().optional() }))
      .optional()
      .describe('Everything that is wrong with the input.'),
    stepUp: z
      .object({ aal: z.int(), maxAgeSeconds: z.int().nullable() })
      .optional()
      .describe('The login that is needed: its assurance level, and how old it may be.'),
    approval: z.string().optional().describe('The request for approval that waits.'),
    instance: z.string().describe('The path that was asked for.'),
  })
  .meta({ id: 'Problem' })
export type Problem = z.output<typeof Problem>

/** An error of ours that is answered with another status than its code's: there is one code for all malformed requests. */
export class StatusError extends RekeyError {
  readonly status: number
  constructor(status: number, code: ErrorCode, message: string, extra: { readonly hint?: string } = {}) {
    super(code, message, extra)
    this.status = status
  }
}

/**
 * Any thrown thing as a problem. What is not ours, and not a fault of the request, becomes `internal` without detail: texts of
 * foreign errors may carry values. `instance` is the path without its query.
 */
export function problemOf(error: unknown, instance: string): Problem {
  const ours = asOurs(error)
  const { title, status } = ERRORS[ours.code]
  return {
    type: errorPage(ours.code),
    title,
    status: ours instanceof StatusError ? ours.status : status,
    code: ours.code,
    detail: ours.message,
    ...(ours.hint === undefined ? {} : { hint: ours.hint }),
    ...(ours.faults === undefined ? {} : { faults: [...ours.faults] }),
    ...(ours instanceof StepUpRequired ? { stepUp: { ...ours.stepUp } } : {}),
    ...(ours instanceof ApprovalRequired ? { approval: ours.approval } : {}),
    instance,
  }
}

function asOurs(error: unknown): RekeyError {
  if (error instanceof RekeyError) return error
  if (hasZodFastifySchemaValidationErrors(error)) return invalid(error.validation, error.validationContext ?? 'request')
  const { code, statusCode } = (typeof error === 'object' && error !== null ? error : {}) as { code?: unknown; statusCode?: unknown }
  const known = typeof code === 'string' ? HTTP_FAULTS[code] : undefined
  if (known) return known()
  if (typeof code === 'string' && code.startsWith('FST_') && typeof statusCode === 'number' && statusCode < 500) {
    return new RekeyError('bad_input', 'The request is malformed.')
  }
  return new RekeyError('internal', 'Rekey failed; the log says more under the request id.')
}

/** Faults that the HTTP layer finds. Its own texts quote the request, so none is passed on. */
const HTTP_FAULTS: Readonly<Record<string, () => RekeyError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => new RekeyError('too_large', 'The request body is too large.'),
  FST_ERR_CTP_INVALID_JSON_BODY: () => new RekeyError('bad_input', 'The request body is not valid JSON.'),
  FST_ERR_CTP_EMPTY_JSON_BODY: () => new RekeyError('bad_input', 'The request body is empty.', { hint: 'Send a JSON object.' }),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new StatusError(415, 'bad_input', 'The request body is not JSON.', { hint: 'Send Content-Type: application/json.' }),
}

/** The messages of zod name what was expected and never what was sent; a test holds it to that. */
function invalid(issues: readonly { readonly instancePath: string; readonly message?: string }[], where: string): RekeyError {
  const faults = issues.map((issue) => ({
    message: issue.message ?? 'Invalid input',
    path: [where === 'querystring' ? 'query' : where, ...issue.instancePath.split('/').slice(1)].join('.'),
  }))
  return new RekeyError('bad_input', 'The request is not valid.', { faults })
}

/**
 * Writes what failed on our side to the log. Of a foreign error only its class and where it was thrown, as the engine has it: its message
 * may carry a value, and so may what it calls itself and the text of its stack.
 */
export function logFailure(log: Log, requestId: string, error: unknown): void {
  const ours = asOurs(error)
  if (ERRORS[ours.code].status < 500) return
  log.error(
    {
      requestId,
      code: ours.code,
      ...(error instanceof RekeyError
        ? { message: error.message, detail: error.detail }
        : { name: classOf(error), frames: framesOf(error) }),
    },
    'a request failed',
  )
}

function classOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : 'not an error'
}

/**
 * The challenge of a 401. For a step-up as RFC 9470 section 3 has it, with levels by Rekey's names: which `acr` of an issuer is which is a
 * matter of the login's configuration.
 */
export function challengeOf(error: unknown): string {
  if (!(error instanceof StepUpRequired)) return 'Bearer'
  const { aal, maxAgeSeconds } = error.stepUp
  const age = maxAgeSeconds === null ? '' : `, max_age=${maxAgeSeconds}`
  return `Bearer error="insufficient_user_authentication", acr_values="aal${aal}"${age}`
}
