import { type ErrorCode, RekeyError } from '../../kernel/index.ts'
import { NO_ACCOUNT } from '../account.ts'
import { flooded } from '../intake.ts'
import { untrusted } from '../tls.ts'

/** What evidence and errors call a server that says what no PostgreSQL says. */
export const NOT_POSTGRESQL = 'NOT_POSTGRESQL'

const SQLSTATE = /^[0-9A-Z]{5}$/
/** Node's and OpenSSL's own names of connection faults: ECONNREFUSED, DEPTH_ZERO_SELF_SIGNED_CERT, ERR_TLS_CERT_ALTNAME_INVALID. */
const NODE_CODE = /^[A-Z][A-Z0-9_]{3,60}$/

/** The SQLSTATE of an error that the server sent (PostgreSQL manual, appendix A), or null for any other error. */
export function sqlState(error: unknown): string | null {
  // `severity` comes with every error of the server; a Node error code may have five letters too (EPIPE).
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  return typeof severity === 'string' && typeof code === 'string' && SQLSTATE.test(code) ? code : null
}

/** What an error may be called in logs and answers: its SQLSTATE, or Node's name for it, or `connection`. Never its text. */
export function faultName(error: unknown): string {
  const { code } = (error ?? {}) as { code?: unknown }
  return sqlState(error) ?? (typeof code === 'string' && NODE_CODE.test(code) ? code : 'connection')
}

type Phase = 'login' | 'install' | 'other'

const TITLES: Partial<Record<ErrorCode, string>> = {
  target_refused_by_policy: 'PostgreSQL refused the value by its policy.',
  target_not_authorised: 'PostgreSQL refused the root credential or its rights.',
  target_unreachable: 'PostgreSQL did not answer, or the connection broke.',
  target_conflict: 'PostgreSQL refused a statement that should work.',
}

interface Row {
  readonly state: RegExp
  readonly code: ErrorCode
  /** The phase in which the SQLSTATE means this; left out: in all. */
  readonly only?: Phase
  /** What is wrong, where more is known than the title of the code says. */
  readonly message?: string
  /** What to do. */
  readonly hint?: string
}

/** First row that fits decides. */
const CLASSES: readonly Row[] = [
  {
    state: /^(28P01|28000)$/,
    only: 'login',
    code: 'target_not_authorised',
    hint: 'Check the root account and its secret, and pg_hba.conf.',
  },
  { state: /^(08|53|57|58)/, code: 'target_unreachable' },
  { state: /^55P03$/, code: 'target_unreachable' },
  {
    state: /^42501$/,
    code: 'target_not_authorised',
    hint: 'Root needs CREATEROLE and ADMIN on the account (or superuser), and pg_signal_backend.',
  },
  { state: /^42704$/, code: 'target_conflict', ...NO_ACCOUNT },
  // Only our own check of the account divides by zero.
  {
    state: /^22012$/,
    only: 'install',
    code: 'target_conflict',
    message: 'The account exists but may not log in.',
    hint: 'Let it log in (ALTER ROLE … LOGIN) or correct its name in the fleet file, then run: rekey rotation retry',
  },
  // Only our own check of the time reads a word as a number.
  { state: /^22P02$/, code: 'target_unreachable', message: 'The change reached PostgreSQL too late and was not made.' },
  // Password hooks raise these: passwordcheck 22023, credcheck and others class 28, PL/pgSQL hooks P0001 or a check violation.
  { state: /^(22|28|P0001|23514)/, only: 'install', code: 'target_refused_by_policy' },
]

/**
 * Classes anything thrown by the library as a `target_*` error. Only the SQLSTATE or the fault's name is kept: the server's text may
 * quote the statement and with it the verifier, so neither it nor the library's error (as `cause`) goes on.
 */
export function targetError(error: unknown, phase: Phase): RekeyError {
  if (error instanceof RekeyError) return error
  const state = sqlState(error)
  const known = state === null ? (untrusted('PostgreSQL', faultName(error)) ?? flooded('PostgreSQL', faultName(error))) : null
  if (known !== null) return known
  if (state === null && faultName(error) === NOT_POSTGRESQL) return notSpoken()
  const row = state === null ? null : CLASSES.find((each) => each.state.test(state) && (each.only === undefined || each.only === phase))
  const code: ErrorCode = state === null ? 'target_unreachable' : (row?.code ?? 'target_conflict')
  return new RekeyError(code, row?.message ?? TITLES[code] ?? 'PostgreSQL failed.', {
    detail: state === null ? faultName(error) : `SQLSTATE ${state}`,
    ...(row?.hint === undefined ? {} : { hint: row.hint }),
  })
}

/** `target_unreachable`: what answers says what no PostgreSQL says. */
function notSpoken(): RekeyError {
  return new RekeyError('target_unreachable', 'What answers there does not speak as PostgreSQL does, and the connection was closed.', {
    hint: 'Look at what answers at the address of the system.',
    detail: NOT_POSTGRESQL,
  })
}
