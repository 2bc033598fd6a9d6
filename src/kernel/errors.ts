/**
 * Every error that Rekey shows has one of these codes. The list is closed: a code without a row here, or a row without a page in
 * `docs/errors/`, fails a test. `status` is the HTTP status that the API answers with.
 */
export const ERRORS = {
  bad_input: { status: 400, title: 'The input is not valid' },
  unauthenticated: { status: 401, title: 'No valid token was presented' },
  step_up_required: { status: 401, title: 'A stronger or fresher login is needed' },
  forbidden: { status: 403, title: 'Not allowed' },
  not_found: { status: 404, title: 'There is nothing by that name' },
  wrong_state: { status: 409, title: 'Not possible in the present state' },
  approval_required: { status: 409, title: 'Somebody else must approve this first' },
  conflict: { status: 409, title: 'Something else changed or holds this' },
  plan_changed: { status: 409, title: 'The inventory changed since the diff was shown' },
  too_large: { status: 413, title: 'The input is too large' },
  fleet_invalid: { status: 422, title: 'The fleet file has faults' },
  policy_invalid: { status: 422, title: 'The policies have faults' },
  idempotency_reused: { status: 422, title: 'The idempotency key was used for another request' },
  proof_refused: { status: 422, title: 'The proof of possession was refused' },
  too_many_requests: { status: 429, title: 'Too many requests' },
  internal: { status: 500, title: 'Rekey failed' },
  unavailable: { status: 503, title: 'Rekey cannot do this at the moment' },
  config_invalid: { status: 500, title: 'The configuration has faults' },
  database_newer: { status: 500, title: 'The database is newer than this program' },
  database_unsupported: { status: 500, title: 'The database server cannot be used' },
  database_failed: { status: 503, title: 'The database did not answer as expected' },
  kek_unavailable: { status: 503, title: 'The key-encryption key cannot be had' },
  sealed_damaged: { status: 500, title: 'A sealed value does not open' },
  evidence_damaged: { status: 500, title: 'The evidence does not verify' },
  target_refused_by_policy: { status: 502, title: 'The system refused the value by its policy' },
  target_not_authorised: { status: 502, title: 'The system refused the root credential or its rights' },
  target_unreachable: { status: 502, title: 'The system did not answer' },
  target_conflict: { status: 502, title: 'The system is not as expected' },
  target_unsupported: { status: 502, title: 'The system or its connector cannot do this' },
} as const satisfies Record<string, { status: number; title: string }>

/** One of the closed list of codes. */
export type ErrorCode = keyof typeof ERRORS

/** What may be shown to whoever asked (`hint`, `at`, `faults`) apart from what only the log may have (`detail`, `cause`). */
export interface ErrorExtra {
  /** What to do next, one sentence, shown to the user. */
  readonly hint?: string
  /** Several faults at once, each already fit to be shown; `line` counts from 1 in the user's file. */
  readonly faults?: readonly { readonly message: string; readonly path?: string; readonly line?: number }[]
  /** For the log only; must already be free of secrets. */
  readonly detail?: string
  readonly cause?: unknown
}

/** The only error that crosses a border of Rekey. `message` is public text: it never carries a secret or foreign error text unredacted. */
export class RekeyError extends Error {
  override readonly name = 'RekeyError'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly faults: ErrorExtra['faults']
  readonly detail: string | undefined

  constructor(code: ErrorCode, message: string, extra: ErrorExtra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause })
    this.code = code
    this.hint = extra.hint
    this.faults = extra.faults
    this.detail = extra.detail
  }
}

/** True if `error` is ours and has this code. */
export function isCode(error: unknown, code: ErrorCode): error is RekeyError {
  return error instanceof RekeyError && error.code === code
}

/** The message of anything thrown, without its stack. For our own errors and library errors that cannot carry a secret. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
