import { INVISIBLE, LIMITS } from '../kernel/index.ts'
import { FLEET_DEFAULTS, parseDuration, type SecretSource, type TlsMode } from './fleet.model.ts'
import { entriesOf, fault, itemsOf, type Place, quote, scalarOf, subject } from './fleet.yaml.ts'

/** Reads one value; `undefined` means that at least one fault was added. Never throws. */
export type Read<T> = (at: Place) => T | undefined

/** A value and where it stands. */
export interface Found<T> {
  readonly value: T
  readonly at: Place
}

/** A mapping as far as it could be read: a field is absent if it was not given or has a fault; `given` tells which. */
export interface Draft<S> {
  readonly at: Place
  readonly given: ReadonlySet<string>
  readonly fields: { readonly [K in keyof S]?: S[K] extends Read<infer T> ? Found<T> : never }
}

const DAY_SECONDS = 86_400
const PATH_CHARS = 4096
const HOST_CHARS = 255
const CONCURRENT_MAX = 64

/** Why a field cannot be left out, where that says more than "is missing". */
const WHY: Readonly<Record<string, string>> = {
  owner: ': an identity that nobody answers for is an orphan',
  purpose: ': an identity without a purpose is an orphan',
  identity: ': a credential without an identity is an orphan',
}

interface RecordRules {
  readonly needed?: readonly string[]
  /** Keys that do not belong are not repeated in the fault: they may be a secret in the wrong place. */
  readonly mute?: boolean
}

/** A mapping with these keys and no others. */
function record<S extends Record<string, Read<unknown>>>(shape: S, { needed = [], mute = false }: RecordRules = {}): Read<Draft<S>> {
  const known = Object.keys(shape)
  return (at) => {
    const entries = entriesOf(at)
    if (!entries) return
    const given = new Set<string>()
    const fields: Record<string, Found<unknown>> = {}
    for (const { key, line, at: place } of entries) {
      const here = { ...at, line }
      const read = Object.hasOwn(shape, key) ? shape[key] : undefined
      if (!read) fault(here, mute ? `Only one of ${known.join(', ')} may stand here.` : unknownKey(key, known, at))
      else if (given.has(key)) fault({ ...place, line }, `${quote(key)} stands twice in the same mapping.`)
      else {
        given.add(key)
        const value = read(place)
        if (value !== undefined) fields[key] = { value, at: place }
      }
    }
    for (const key of needed) if (!given.has(key)) fault(at, `${quote(key)} is missing${WHY[key] ?? ''}.`)
    return { at, given, fields: fields as Draft<S>['fields'] }
  }
}

const WORDS = /^[A-Za-z][a-z]{0,14}([A-Z][a-z]{1,15}){0,4}$|^[a-z]{1,15}([_-][a-z]{1,15}){0,4}$/
/** Too short to be a secret, and short enough to be a slip of one word. */
const TINY_CHARS = 4
const LONG_CHARS = 12
/** Bits for each character: English words in a row have about 3.3, random letters and digits 3.8 and more at this length. */
const RANDOM_BITS = 3.6

/** A key as a fault may show it. Nothing is told of one that looks like a secret that slipped into the wrong place. */
function quoteKey(key: string): string {
  const words = WORDS.test(key) && (key.length < LONG_CHARS || bitsOf(key) < RANDOM_BITS)
  return key.length <= TINY_CHARS || words ? quote(key) : 'What stands here, not shown because it may be a secret,'
}

/** Shannon entropy of the characters of a text. */
function bitsOf(text: string): number {
  const counts = [...Map.groupBy(text, (char) => char).values()].map((chars) => chars.length / text.length)
  return -counts.reduce((sum, share) => sum + share * Math.log2(share), 0)
}

function unknownKey(key: string, known: readonly string[], at: Place): string {
  if (key === '<<') return 'Merge keys (<<) are not read: write the values out.'
  const near = at.source.faults.suggest(key, known)
  return `${quoteKey(key)} is not a key that may stand here.${near || ` Known here: ${known.join(', ')}.`}`
}

/** A list of them; those with faults are left out. */
function list<T>(read: Read<T>): Read<readonly Found<T>[]> {
  return (at) =>
    itemsOf(at)?.flatMap((item) => {
      const value = read(item)
      return value === undefined ? [] : [{ value, at: item }]
    })
}

/** Text of 1 to `max` characters on one line without anything invisible. `wrong` may find more, and must not repeat the value. */
function text(max: number, wrong: (value: string) => string | null = edgeSpaces): Read<string> {
  return (at) => {
    const value = scalarOf(at)
    if (value === undefined) return
    if (typeof value !== 'string') return fault(at, `${subject(at)} must be text: put quotes around it.`)
    if (value.length === 0) return fault(at, `${subject(at)} is empty.`)
    if (value.length > max) return fault(at, `${subject(at)} is longer than ${max} characters.`)
    if (INVISIBLE.test(value)) {
      return fault(at, `${subject(at)} holds a line break, a control character or an invisible one.`)
    }
    const more = wrong(value)
    return more === null ? value : fault(at, `${subject(at)} ${more}.`)
  }
}

const edgeSpaces = (value: string) => (value.trim() === value ? null : 'begins or ends with a space')
const matches = (pattern: RegExp, otherwise: string) => (value: string) => (pattern.test(value) ? null : otherwise)

const name = text(LIMITS.nameChars)
/** A name alone: whoever is called so owns it, as soon as there is somebody. */
const owner = text(LIMITS.nameChars, (value) =>
  /^(person|team):/.test(value) ? 'is a name alone here, without person: or team:' : edgeSpaces(value),
)
/** Accounts may hold what their system allows, edge spaces too: the connector has the last word. */
const account = text(LIMITS.nameChars, () => null)
const path = text(PATH_CHARS)
const host = text(
  HOST_CHARS,
  matches(/^(?!.*:\/\/)[^\s@?#]+$/, 'must be a host name, an address or a socket folder, without spaces and no URL'),
)
const variable = text(LIMITS.nameChars, matches(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable'))
const fileKey = text(
  LIMITS.nameChars,
  matches(/^[A-Za-z_][A-Za-z0-9_.]*$/, 'must begin with a letter or _ and hold only letters, digits, _ and dots'),
)

function integer(least: number, most: number): Read<number> {
  return (at) => {
    const value = scalarOf(at)
    if (value === undefined) return
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    return fault(at, `${subject(at)} must be ${least === most ? least : `a whole number from ${least} to ${most}`}.`)
  }
}

function oneOf<T extends string>(...words: readonly T[]): Read<T> {
  return (at) => {
    const value = scalarOf(at)
    if (value === undefined) return
    const found = words.find((word) => word === value)
    return found ?? fault(at, `${subject(at)} must be one of ${words.join(', ')}.${at.source.faults.suggest(String(value), words)}`)
  }
}

const tlsWord = oneOf<TlsMode>('off', 'require', 'verify-full')
/** `off` is text in YAML 1.2, which we read, and `false` in YAML 1.1, which other tools write. */
const tls: Read<TlsMode> = (at) => (scalarOfQuietly(at) === false ? 'off' : tlsWord(at))
const scalarOfQuietly = ({ node }: Place) => (node as { value?: unknown } | null)?.value

function duration(least: number, most: number): Read<number> {
  return (at) => {
    const value = scalarOf(at)
    if (value === undefined) return
    const seconds = parseDuration(String(value))
    if (seconds === null) return fault(at, `${subject(at)} must be a whole number with a unit: 30s, 10m, 12h, 30d or 2w.`)
    if (seconds >= least && seconds <= most) return seconds
    return fault(at, `${subject(at)} must be from ${least}s to ${most / DAY_SECONDS}d.`)
  }
}

const yes: Read<true> = (at) => {
  const value = scalarOf(at)
  if (value === undefined) return
  return value === true ? true : fault(at, `${subject(at)} must be true.`)
}

const sourceFields = record({ file: path, env: variable, prompt: yes }, { mute: true })
const SOURCE_RULE = 'must be exactly one of { file: PATH }, { env: NAME } and { prompt: true }. The value itself never stands in the file.'

/** Where a secret is read from. No fault repeats what stands there. */
const secretSource: Read<SecretSource> = (at) => {
  if (typeof scalarOfQuietly(at) === 'string') return fault(at, `${subject(at)} ${SOURCE_RULE}`)
  const draft = sourceFields(at)
  if (!draft) return
  const { file, env, prompt } = draft.fields
  if (draft.given.size !== 1) return fault(at, `${subject(at)} ${SOURCE_RULE}`)
  if (file) return { file: file.value }
  if (env) return { env: env.value }
  return prompt && { prompt: true }
}

const system = record(
  {
    name,
    connector: name,
    address: record({ host, port: integer(1, 65_535), database: name, tls, caFile: path }, { needed: ['host'] }),
    root: record({ account, secret: secretSource }, { needed: ['account', 'secret'] }),
    limits: record({ concurrent: integer(1, CONCURRENT_MAX) }),
  },
  { needed: ['name', 'connector', 'address', 'root'] },
)

const identity = record(
  { name, kind: oneOf('human', 'workload', 'machine', 'agent'), owner, purpose: name, environment: name },
  { needed: ['name', 'kind', 'owner', 'purpose', 'environment'] },
)

const consumer = record(
  { name, identity: name, file: record({ path, key: fileKey }, { needed: ['path'] }), activation: oneOf('session', 'report', 'none') },
  { needed: ['name', 'activation'] },
)

const credential = record(
  {
    name,
    identity: name,
    system: name,
    account,
    accounts: list(account),
    strategy: oneOf('in-place', 'alternating', 'dual'),
    current: secretSource,
    rotate: record({ every: duration(1, 3650 * DAY_SECONDS), grace: duration(0, 365 * DAY_SECONDS) }),
    consumers: list(consumer),
  },
  { needed: ['name', 'identity', 'system', 'strategy'] },
)

/** The whole file. */
export const fleetShape = record(
  { version: integer(1, 1), systems: list(system), identities: list(identity), credentials: list(credential) },
  { needed: ['version'] },
)

type Read0<R> = R extends Read<infer T> ? T : never
export type FleetDraft = Read0<typeof fleetShape>
export type SystemDraft = Read0<typeof system>
export type IdentityDraft = Read0<typeof identity>
export type CredentialDraft = Read0<typeof credential>
export type ConsumerDraft = Read0<typeof consumer>

/** True for the folder of a Unix socket, over which there is nothing to encrypt. */
export const isSocket = (host: string | undefined) => host?.startsWith('/') ?? false

/** The protection that a system gets, as far as its address can be read. */
export function tlsOf(draft: SystemDraft): TlsMode | undefined {
  const address = draft.fields.address?.value
  if (!address) return
  if (address.given.has('tls')) return address.fields.tls?.value
  return isSocket(address.fields.host?.value) ? 'off' : FLEET_DEFAULTS.tls
}
