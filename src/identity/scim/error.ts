import { type ErrorCode, RekeyError } from '../../kernel/index.ts'

/** The error keywords of RFC 7644 section 3.12, table 9, that this server uses. */
export type ScimType =
  | 'invalidFilter'
  | 'tooMany'
  | 'uniqueness'
  | 'mutability'
  | 'invalidSyntax'
  | 'invalidPath'
  | 'noTarget'
  | 'invalidValue'

/** Where the code's own status is not the one that the protocol asks for. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'bad_input',
  404: 'not_found',
  409: 'conflict',
  412: 'conflict',
  413: 'too_large',
}

/**
 * A refusal in the words of SCIM: an HTTP status, a keyword where RFC 7644 has one, and public text. The text never quotes a value that
 * was sent, only names of attributes.
 */
export class ScimError extends RekeyError {
  readonly status: number
  readonly scimType: ScimType | null

  constructor(status: number, scimType: ScimType | null, message: string) {
    super(CODES[status] ?? 'bad_input', message)
    this.status = status
    this.scimType = scimType
  }
}

export const invalidValue = (message: string) => new ScimError(400, 'invalidValue', message)
export const invalidSyntax = (message: string) => new ScimError(400, 'invalidSyntax', message)
export const invalidPath = (message: string) => new ScimError(400, 'invalidPath', message)
export const invalidFilter = (message: string) => new ScimError(400, 'invalidFilter', message)

/** The one answer for what does not exist and for what belongs to another provider. */
export function notHere(): ScimError {
  return new ScimError(404, null, 'There is no such resource.')
}
