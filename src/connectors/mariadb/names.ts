import { isIP } from 'node:net'
import { RekeyError } from '../../kernel/index.ts'

/** MariaDB's own bounds of `mysql.global_priv.User` and `.Host`, in characters. */
const USER_CHARS = 128
const HOST_CHARS = 255

/** A MariaDB account: the same user name from other hosts is another account. */
export interface AccountName {
  readonly user: string
  /** A host name, address, netmask or pattern with `%` and `_`. */
  readonly host: string
}

/**
 * Reads an inventory name: `svc` is `'svc'@'%'`, and `svc@10.%` names the host after the last `@`.
 * Throws `bad_input` for what MariaDB cannot hold, and for what it would silently change (it drops trailing spaces).
 */
export function parseAccount(name: string): AccountName {
  const at = name.lastIndexOf('@')
  const user = at < 0 ? name : name.slice(0, at)
  // MariaDB stores hosts in lower case.
  const host = at < 0 ? '%' : name.slice(at + 1).toLowerCase()
  if (user === '') throw badName('An account needs a user name.')
  if (host === '') throw badName('A host must follow the last @ of an account name.', 'Write name@% if the name itself has an @.')
  if ([...user].length > USER_CHARS) throw badName(`A user name has at most ${USER_CHARS} characters.`)
  if ([...host].length > HOST_CHARS) throw badName(`A host has at most ${HOST_CHARS} characters.`)
  if (name.includes('\0')) throw badName('An account name cannot contain NUL.')
  // Its grant tables are utf8mb3: what needs four bytes, or half of a surrogate pair, cannot be stored.
  if (/[\u{10000}-\u{10ffff}\ud800-\udfff]/u.test(name)) throw badName('MariaDB cannot store characters beyond U+FFFF in account names.')
  if (user.endsWith(' ') || host.endsWith(' ')) throw badName('MariaDB drops trailing spaces of account names.')
  return { user, host }
}

/** The inverse of `parseAccount`: the shortest name that reads back as this account. */
export function formatAccount({ user, host }: AccountName): string {
  return host === '%' && !user.includes('@') ? user : `${user}@${host}`
}

/**
 * Throws `bad_input` for what is no account, and for every spelling of one but the shortest: `svc@%` is `svc`. The inventory compares
 * accounts as text, and one that stood there twice would be rotated by two credentials, or be a credential and the root at once.
 */
export function checkSpelling(name: string): void {
  const right = formatAccount(parseAccount(name))
  if (name !== right) throw badName(`Write it as ${right}.`)
}

/** As an SQL account name. In backticks nothing but the backtick is special, whatever `sql_mode` says. */
export function quoteAccount({ user, host }: AccountName): string {
  return `${quoteName(user)}@${quoteName(host)}`
}

/** As an SQL identifier. */
export function quoteName(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``
}

/** As an SQL string, for sessions with NO_BACKSLASH_ESCAPES only (root connections set it): else a backslash would be an escape. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** A pattern of addresses: `10.%`, `fe80::%`, `192.168.0._`. Some names look so too. */
const OF_ADDRESSES = /^[\d.:a-f%_]+$/
/** The server cuts what it shows of a client, with its port, to so many characters. */
const SHOWN_CHARS = 64
const LOOPBACK = ['localhost', '127.0.0.1', '::1']

/**
 * Whether a client, as the server shows it with its port (`10.0.0.7:4711`, `app1.internal:4711`, `localhost`), may fall under the host of
 * an account. Where the name of a client is shown, the server has compared its address too, which nobody sees: so every pattern of
 * addresses fits. A netmask fits, and so does a client whose name was cut: this answer is used to leave a session in doubt, never to
 * claim it.
 */
export function mayMatchHost(pattern: string, shown: string): boolean {
  if (pattern.includes('/') || shown.length >= SHOWN_CHARS) return true
  // With its port, except on a socket; of `fe80::1:4711` nobody can tell.
  const clients = [shown, shown.replace(/:\d+$/, '')].map((text) => text.toLowerCase())
  // The server treats the loopback addresses and `localhost` as one when it resolves names.
  const names = clients.some((client) => LOOPBACK.includes(client)) ? LOOPBACK : clients
  const isName = !names.some((name) => isIP(name) !== 0)
  if (isName && OF_ADDRESSES.test(pattern.toLowerCase())) return true
  const source = [...pattern.toLowerCase()].map((char) =>
    char === '%' ? '.*' : char === '_' ? '.' : char.replace(/[\\^$.*+?()[\]{}|]/, '\\$&'),
  )
  const expression = new RegExp(`^${source.join('')}$`, 's')
  return names.some((name) => expression.test(name))
}

function badName(message: string, hint?: string): RekeyError {
  return new RekeyError('bad_input', message, hint === undefined ? {} : { hint })
}
