import { RekeyError } from '../../kernel/index.ts'

/** Longest user name that Rekey writes; Redis itself has no bound. */
const NAME_BYTES = 512

/** Throws `bad_input` for names that a Redis ACL cannot hold: empty, with white space or NUL (ACL SETUSER refuses them). */
export function checkName(name: string): void {
  if (name === '') throw new RekeyError('bad_input', 'An account needs a name.')
  if (Buffer.byteLength(name) > NAME_BYTES) throw new RekeyError('bad_input', `A Redis user name has at most ${NAME_BYTES} bytes here.`)
  if (/[\0\t\n\v\f\r ]/.test(name)) throw new RekeyError('bad_input', 'A Redis user name cannot contain white space or NUL.')
  if (!name.isWellFormed()) throw new RekeyError('bad_input', 'The account name is not valid Unicode text.')
}

/** What ACL GETUSER tells of a user. */
export interface User {
  /** `on` or `off`, `nopass` and others. */
  readonly flags: readonly string[]
  /** SHA-256 of each value, lower-case hex. */
  readonly hashes: readonly string[]
  /** What it may do, one text per right. The order of command rules matters, so they are one right. */
  readonly rights: readonly string[]
}

/** Reads a reply of ACL GETUSER (pairs in a flat list); null if there is no such user. Throws `target_conflict` for any other shape. */
export function readUser(reply: unknown): User | null {
  if (reply === null) return null
  const fields = pairs(reply)
  const [flags, hashes] = [fields.get('flags'), fields.get('passwords')]
  if (!isTexts(flags) || !isTexts(hashes)) throw strange()
  const rights = ['commands', 'keys', 'channels'].map((name) => rightText(name, fields.get(name)))
  const selectors = fields.get('selectors')
  const more = Array.isArray(selectors) ? selectors.map((selector) => `selector (${selectorText(selector)})`) : []
  return { flags, hashes, rights: [...rights.filter((right) => right !== ''), ...more] }
}

function selectorText(selector: unknown): string {
  const fields = pairs(selector)
  return [...fields.keys()]
    .map((name) => rightText(name, fields.get(name)))
    .filter((right) => right !== '')
    .join('; ')
}

/** Redis 7 gives text, Redis 6 a list of patterns. */
function rightText(name: string, value: unknown): string {
  const text = isTexts(value) ? value.join(' ') : typeof value === 'string' ? value : ''
  return text === '' ? '' : `${name} ${text}`
}

function pairs(reply: unknown): Map<string, unknown> {
  if (!Array.isArray(reply) || reply.length % 2 !== 0) throw strange()
  const fields = new Map<string, unknown>()
  for (let at = 0; at < reply.length; at += 2) fields.set(String(reply[at]), reply[at + 1])
  return fields
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

function strange(): RekeyError {
  return new RekeyError('target_conflict', 'Redis described the account in an unknown way.')
}

/** One line of CLIENT LIST. */
export interface ClientRow {
  /** Grows with each connection, until the server restarts. */
  readonly id: number
  readonly user: string
  readonly address: string
  /** What the client called itself. */
  readonly name: string
}

/** Reads CLIENT LIST. No field can hold a space or a line break (Redis refuses both in client names). Lines without an id are left out. */
export function readClients(text: string): ClientRow[] {
  // Of a text of nothing but line breaks no line is ever made.
  return [...text.matchAll(/[^\n]{4,}/g)].flatMap(([line]) => {
    // Only the end of the line: a name may end in what Unicode calls a blank.
    const fields = new Map(
      line
        .replace(/\r$/, '')
        .split(' ')
        .map((field) => cut(field)),
    )
    const number = fields.get('id') ?? ''
    const id = /^\d{1,16}$/.test(number) ? Number(number) : Number.NaN
    if (!Number.isSafeInteger(id)) return []
    return [{ id, user: fields.get('user') ?? '', address: fields.get('addr') ?? '', name: fields.get('name') ?? '' }]
  })
}

function cut(field: string): [string, string] {
  const at = field.indexOf('=')
  return at < 0 ? [field, ''] : [field.slice(0, at), field.slice(at + 1)]
}

/** One value of INFO, or the empty text. */
export function infoValue(info: string, name: string): string {
  const line = info.split('\n').find((each) => each.startsWith(`${name}:`))
  return line === undefined ? '' : line.slice(name.length + 1).trim()
}
