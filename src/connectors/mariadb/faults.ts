import { type ErrorCode, RekeyError } from '../../kernel/index.ts'
import { NO_ACCOUNT } from '../account.ts'
import { flooded } from '../intake.ts'
import { untrusted } from '../tls.ts'

/** What evidence and errors call a server that says what no MariaDB says. */
export const NOT_MARIADB = 'NOT_MARIADB'

/**
 * MariaDB's error numbers (manual, "MariaDB Error Code Reference"), by its own names: the client library names some of them after
 * MySQL, which gave other meanings to the numbers from 1900 on (4151 is there a parser error).
 */
const NAMES: Readonly<Record<number, string>> = {
  1040: 'ER_CON_COUNT_ERROR',
  1044: 'ER_DBACCESS_DENIED_ERROR',
  1045: 'ER_ACCESS_DENIED_ERROR',
  1053: 'ER_SERVER_SHUTDOWN',
  1064: 'ER_PARSE_ERROR',
  1094: 'ER_NO_SUCH_THREAD',
  1129: 'ER_HOST_IS_BLOCKED',
  1130: 'ER_HOST_NOT_PRIVILEGED',
  1141: 'ER_NONEXISTING_GRANT',
  1142: 'ER_TABLEACCESS_DENIED_ERROR',
  1203: 'ER_TOO_MANY_USER_CONNECTIONS',
  1205: 'ER_LOCK_WAIT_TIMEOUT',
  1213: 'ER_LOCK_DEADLOCK',
  1226: 'ER_USER_LIMIT_REACHED',
  1227: 'ER_SPECIFIC_ACCESS_DENIED_ERROR',
  1290: 'ER_OPTION_PREVENTS_STATEMENT',
  1372: 'ER_PASSWD_LENGTH',
  1396: 'ER_CANNOT_USER',
  1524: 'ER_PLUGIN_IS_NOT_LOADED',
  1698: 'ER_ACCESS_DENIED_NO_PASSWORD_ERROR',
  1819: 'ER_NOT_VALID_PASSWORD',
  1820: 'ER_MUST_CHANGE_PASSWORD',
  1862: 'ER_MUST_CHANGE_PASSWORD_LOGIN',
  1927: 'ER_CONNECTION_KILLED',
  4150: 'ER_USER_IS_BLOCKED',
  4151: 'ER_ACCOUNT_HAS_BEEN_LOCKED',
}

const WRONG_VALUE: readonly number[] = [1045, 1698]

/** The number of an error that the server sent, or null for any other error. */
export function serverErrno(error: unknown): number | null {
  // Only errors of the server carry `sqlState`; the library's own and Node's have an errno of the operating system.
  const { errno, sqlState } = (error ?? {}) as { errno?: unknown; sqlState?: unknown }
  return typeof errno === 'number' && typeof sqlState === 'string' && errno >= 1000 ? errno : null
}

/** What an error may be called in logs and answers; never its text, which may quote a statement. */
export function faultName(error: unknown): string {
  const errno = serverErrno(error)
  if (errno !== null) return NAMES[errno] ?? `errno_${errno}`
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{3,60}$/.test(code) ? code : 'connection'
}

/**
 * True if the server looked at the value and denied it. 1698 is the same denial when the last alternative asked was one without a
 * password (`unix_socket`). A TLS requirement that is not met looks the same; then the control probe is refused as well.
 */
export function isWrongValue(error: unknown): boolean {
  return WRONG_VALUE.includes(serverErrno(error) ?? 0)
}

interface Row {
  readonly numbers: readonly number[]
  readonly code: ErrorCode
  /** What is wrong, where more is known than the title of the code says. */
  readonly message?: string
  /** What to do. */
  readonly hint?: string
}

const CLASSES: readonly Row[] = [
  { numbers: WRONG_VALUE, code: 'target_not_authorised', hint: 'Check the root account, its secret and the host it may come from.' },
  {
    numbers: [1044, 1142, 1143, 1227, 1370],
    code: 'target_not_authorised',
    hint: 'Root needs CREATE USER, PROCESS, CONNECTION ADMIN and SELECT on the database mysql.',
  },
  {
    numbers: [1820, 1862, 4150, 4151],
    code: 'target_not_authorised',
    message: 'The root account of MariaDB is locked or expired.',
    hint: 'Unlock it, or give it a new password and tell Rekey: rekey system set-root',
  },
  { numbers: [1040, 1053, 1129, 1130, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1927, 3169], code: 'target_unreachable' },
  // Only the words in place of a statement that comes too late are no SQL.
  { numbers: [1064], code: 'target_unreachable', message: 'The change reached MariaDB too late and was not made.' },
  { numbers: [1372, 1819], code: 'target_refused_by_policy' },
  { numbers: [1141, 1396], code: 'target_conflict', ...NO_ACCOUNT },
  {
    numbers: [1290],
    code: 'target_conflict',
    message: 'MariaDB runs with read_only, skip_grant_tables or strict_password_validation (which refuses finished hashes).',
    hint: 'Switch that option off, or point the system at a server that takes changes; then run: rekey rotation retry',
  },
]

const TITLES: Partial<Record<ErrorCode, string>> = {
  target_refused_by_policy: 'MariaDB refused the value by its policy.',
  target_not_authorised: 'MariaDB refused the root credential or its rights.',
  target_unreachable: 'MariaDB did not answer, or the connection broke.',
  target_conflict: 'MariaDB refused a statement that should work.',
}

/** Classes anything thrown by the library as a `target_*` error. Neither the server's text nor the library's error goes on. */
export function targetError(error: unknown): RekeyError {
  if (error instanceof RekeyError) return error
  const errno = serverErrno(error)
  const known = errno === null ? (untrusted('MariaDB', faultName(error)) ?? flooded('MariaDB', faultName(error))) : null
  if (known !== null) return known
  if (errno === null && faultName(error) === NOT_MARIADB) return notSpoken()
  const row = errno === null ? undefined : CLASSES.find((each) => each.numbers.includes(errno))
  const code = errno === null ? 'target_unreachable' : (row?.code ?? 'target_conflict')
  const detail = errno === null ? faultName(error) : `${faultName(error)} (${errno})`
  return new RekeyError(code, row?.message ?? TITLES[code] ?? 'MariaDB failed.', {
    detail,
    ...(row?.hint === undefined ? {} : { hint: row.hint }),
  })
}

/** `target_unreachable`: what answers says what no MariaDB says. */
function notSpoken(): RekeyError {
  return new RekeyError('target_unreachable', 'What answers there does not speak as MariaDB does, and the connection was closed.', {
    hint: 'Look at what answers at the address of the system.',
    detail: NOT_MARIADB,
  })
}
