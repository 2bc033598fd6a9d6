import { RekeyError } from '../../kernel/index.ts'
import { quoteName, quoteText } from './names.ts'

/** One way to log in to an account. MariaDB accepts any of those that are joined by `OR`. */
export interface Way {
  readonly plugin: string
  /** What the plugin stores: for `mysql_native_password` the hash, empty when the empty password is accepted. */
  readonly text: string
}

const NATIVE = 'mysql_native_password'

/** The way of one value, by its finished hash (`mysqlNativeHash`). */
export function nativeWay(hash: string): Way {
  return { plugin: NATIVE, text: hash }
}

/**
 * The ways of an account, from the JSON of `mysql.global_priv.Priv`: the first in `plugin` and `authentication_string`; if there are
 * several, `auth_or` lists them in order, with an empty object in the place of the first. Throws `target_conflict` for any other shape.
 */
export function readWays(priv: string): Way[] {
  const row = objectOf(parsed(priv))
  const first = wayOf(row) ?? { plugin: NATIVE, text: '' }
  const { auth_or: others } = row
  if (others === undefined) return [first]
  if (!Array.isArray(others)) throw unreadable()
  return others.map((other) => wayOf(objectOf(other)) ?? first)
}

/** The clause of ALTER USER that makes exactly these ways valid. There must be one: an account without any would be dead. */
export function identified(ways: readonly Way[]): string {
  if (ways.length === 0) throw new RekeyError('target_conflict', 'The account would be left without any way to log in.')
  const clause = ({ plugin, text }: Way) => quoteName(plugin) + (text === '' && plugin !== NATIVE ? '' : ` USING ${quoteText(text)}`)
  return `IDENTIFIED VIA ${ways.map(clause).join(' OR ')}`
}

/** `way` first, then the others without it. First, because a client that cannot speak another's plugin then never meets it. */
export function withWay(ways: readonly Way[], way: Way): Way[] {
  return [way, ...withoutWay(ways, way)]
}

/** The ways but this one. */
export function withoutWay(ways: readonly Way[], way: Way): Way[] {
  return ways.filter((each) => each.plugin !== way.plugin || each.text.toUpperCase() !== way.text.toUpperCase())
}

/** Whether this one is among the ways. */
export function hasWay(ways: readonly Way[], way: Way): boolean {
  return withoutWay(ways, way).length < ways.length
}

function wayOf({ plugin, authentication_string: text }: Record<string, unknown>): Way | null {
  if (plugin === undefined && text === undefined) return null
  if (plugin !== undefined && typeof plugin !== 'string') throw unreadable()
  if (text !== undefined && typeof text !== 'string') throw unreadable()
  return { plugin: plugin === undefined || plugin === '' ? NATIVE : plugin, text: text ?? '' }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw unreadable()
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unreadable()
  return value as Record<string, unknown>
}

function unreadable(): RekeyError {
  return new RekeyError('target_conflict', 'How the account logs in at present cannot be read.')
}

const IN_QUOTES = "'(?:[^']|'')*'"
const ONE_WAY = `(?:\`(?:[^\`]|\`\`)*\`|[\\w$]+)(?: (?:USING|AS) ${IN_QUOTES})?`
const AUTHENTICATION = new RegExp(`^ IDENTIFIED (?:BY PASSWORD ${IN_QUOTES}|(?:VIA|WITH) ${ONE_WAY}(?: OR ${ONE_WAY})*)`, 'u')

/**
 * A line of SHOW GRANTS as a right: the account's own name becomes `@` and what it logs in with is left out (a hash is not a right,
 * and belongs in no log).
 * @param quoted the account as `quoteAccount` writes it; the server must use the same quoting (see the session settings of a root)
 */
export function grantText(line: string, quoted: string): string {
  // Within another quoted name every backtick is doubled, so this text cannot occur there.
  const at = line.indexOf(quoted)
  if (at < 0) return line
  return `${line.slice(0, at)}@${line.slice(at + quoted.length).replace(AUTHENTICATION, '')}`
}
