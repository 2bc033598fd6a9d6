import { type ErrorCode, RekeyError } from '../../kernel/index.ts'
import { flooded } from '../intake.ts'
import { untrusted } from '../tls.ts'
import { isErrorReply } from './library.ts'

/** What evidence and errors call a server that says what no Redis says. */
export const NOT_REDIS = 'NOT_REDIS'

/** The first word of an error that the server sent (`WRONGPASS`, `NOPERM`, `ERR`, …), or null for any other error. */
export function replyCode(error: unknown): string | null {
  if (!isErrorReply(error)) return null
  return /^-?([A-Z]{2,20})\b/.exec(error.message)?.[1] ?? 'ERR'
}

/** What an error may be called in logs and answers; never its text, which may quote a command. */
export function faultName(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return replyCode(error) ?? (typeof code === 'string' && /^[A-Z][A-Z0-9_]{3,60}$/.test(code) ? code : 'connection')
}

const CLASSES: Readonly<Record<string, { readonly code: ErrorCode; readonly message?: string; readonly hint?: string }>> = {
  WRONGPASS: { code: 'target_not_authorised', hint: 'Check the root account and its secret; the account may be off.' },
  NOAUTH: { code: 'target_not_authorised' },
  NOPERM: { code: 'target_not_authorised', hint: 'Root needs +acl +client +info +config|get and, without an ACL file, +config|rewrite.' },
  LOADING: { code: 'target_unreachable' },
  MASTERDOWN: { code: 'target_unreachable' },
  BUSY: { code: 'target_unreachable' },
  UNKILLABLE: { code: 'target_unreachable' },
  DENIED: {
    code: 'target_conflict',
    message: 'Redis runs in protected mode and has no password.',
    hint: 'Give its default user a password, then run: rekey rotation retry',
  },
}

const TITLES: Partial<Record<ErrorCode, string>> = {
  target_not_authorised: 'Redis refused the root credential or its rights.',
  target_unreachable: 'Redis did not answer, or the connection broke.',
  target_conflict: 'Redis refused a command that should work.',
}

/** Classes anything thrown by the library as a `target_*` error. Neither the server's text nor the library's error goes on. */
export function targetError(error: unknown): RekeyError {
  if (error instanceof RekeyError) return error
  const reply = replyCode(error)
  const known = reply === null ? (untrusted('Redis', faultName(error)) ?? flooded('Redis', faultName(error))) : null
  if (known !== null) return known
  if (reply === null && faultName(error) === NOT_REDIS) return notSpoken()
  const row = reply === null ? undefined : CLASSES[reply]
  const full = isErrorReply(error) && error.message.includes('max number of clients')
  const code: ErrorCode = reply === null || full ? 'target_unreachable' : (row?.code ?? 'target_conflict')
  return new RekeyError(code, row?.message ?? TITLES[code] ?? 'Redis failed.', {
    detail: faultName(error),
    ...(row?.hint === undefined ? {} : { hint: row.hint }),
  })
}

/** `target_unreachable`: what answers says what no Redis says. */
function notSpoken(): RekeyError {
  return new RekeyError('target_unreachable', 'What answers there does not speak as Redis does, and the connection was closed.', {
    hint: 'Look at what answers at the address of the system.',
    detail: NOT_REDIS,
  })
}
