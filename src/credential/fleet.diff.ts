import { type Json, printable } from '../kernel/index.ts'
import { type FleetConsumer, formatDuration, type Inventory } from './fleet.model.ts'

/** One field that differs; `undefined` where the item does not exist. The name is a path: `address.host`, `rotate.everySeconds`. */
export interface FieldChange {
  readonly field: string
  readonly before: Json | undefined
  readonly after: Json | undefined
}

/** What applying a fleet file would do to one item. `missing-from-file` does nothing by itself: only pruning removes. */
export interface Change {
  readonly kind: 'add' | 'change' | 'missing-from-file'
  readonly of: 'system' | 'identity' | 'credential' | 'consumer'
  readonly name: string
  /** The credential that a consumer belongs to; null for the other items. */
  readonly credential: string | null
  /** Fields that differ; for `add` all of them, for `missing-from-file` none. */
  readonly fields: readonly FieldChange[]
  /** True if it must be refused: it would cut a living value off from the account that accepts it. `reason` says so. */
  readonly dangerous: boolean
  /** Why it is refused; of a change that is not, what to know before it is agreed to; null if there is nothing to say. */
  readonly reason: string | null
  /** Only of an added credential: true if its value in use is not given, so that its first rotation is a takeover. */
  readonly takeover?: boolean
}

type Fields = Readonly<Record<string, Json>>
/** A declared item with its fields under the names that a diff and the evidence give them. */
export interface Declared {
  readonly of: Change['of']
  readonly name: string
  /** The credential that a consumer belongs to; null for the other items. */
  readonly credential: string | null
  readonly fields: Fields
}
type Row = Declared
type Refuse = (row: Row, fields: readonly FieldChange[]) => string | null

/** Fields of a credential that say where its living value is accepted. */
const BINDING: ReadonlySet<string> = new Set(['accounts', 'system', 'strategy'])

/**
 * What is different between what is stored and what a file declares. Sorted by name within systems, identities and credentials
 * (each followed by its consumers), whatever the order of the inputs, so that the same two inventories always give the same diff.
 * Where secrets are read from is not compared. Neither is the order of the accounts of a live credential: it says only which one
 * was in use when the credential was declared.
 */
export function diffFleet(present: Inventory, wanted: Inventory): Change[] {
  const live = present.credentials.filter((credential) => credential.live)
  const liveNames = new Set(live.map(({ name }) => name))
  const heldBy = new Map(live.map(({ name, held }) => [name, held]))
  const liveSystems = new Set(live.map(({ system }) => system))
  const refuse: Refuse = (row, fields) => {
    if (row.of === 'credential' && liveNames.has(row.name)) {
      const binding = fields.filter((change) => isBinding(change, heldBy.get(row.name))).map(({ field }) => field)
      if (binding.length > 0) return `${binding.join(', ')} cannot change while a version of the credential is alive`
    }
    const moved = row.of === 'system' && liveSystems.has(row.name) && fields.some(({ field }) => field === 'connector')
    return moved ? 'connector cannot change while a credential of the system is alive' : null
  }
  return [
    ...compare(present.systems.map(systemRow), wanted.systems.map(systemRow), refuse),
    ...compare(present.identities.map(identityRow), wanted.identities.map(identityRow), refuse),
    ...compare(credentialRows(present, liveNames), credentialRows(wanted, liveNames), refuse),
  ]
}

/** Whether a change would cut a value off. Accounts that hold none may be exchanged: a name that no system knows was mistyped. */
function isBinding({ field, after }: FieldChange, held: readonly string[] | undefined): boolean {
  if (field !== 'accounts' || held === undefined || !Array.isArray(after)) return BINDING.has(field)
  return held.some((account) => !after.includes(account))
}

/** Every item of an inventory with its fields, as a diff sees them; the order of accounts is that of the inventory. */
export function declaredItems(inventory: Inventory): Declared[] {
  return [...inventory.systems.map(systemRow), ...inventory.identities.map(identityRow), ...credentialRows(inventory, new Set())]
}

function compare(present: readonly Row[], wanted: readonly Row[], refuse: Refuse): Change[] {
  const before = new Map(present.map((row) => [keyOf(row), row]))
  const after = new Map(wanted.map((row) => [keyOf(row), row]))
  const keys = [...new Set([...before.keys(), ...after.keys()])].map((key) => ({ key, row: after.get(key) ?? before.get(key) }))
  return keys
    .sort((a, b) => byText(sortKey(a.row), sortKey(b.row)))
    .flatMap(({ key }) => changeOf(before.get(key), after.get(key), refuse) ?? [])
}

function changeOf(before: Row | undefined, after: Row | undefined, refuse: Refuse): Change | null {
  const row = after ?? before
  if (!row) return null
  const common = { of: row.of, name: row.name, credential: row.credential }
  if (!after) return { kind: 'missing-from-file', ...common, fields: [], dangerous: false, reason: null }
  const fields = differences(before?.fields ?? {}, after.fields)
  if (!before) return { kind: 'add', ...common, fields, dangerous: false, reason: null }
  if (fields.length === 0) return null
  const reason = refuse(after, fields)
  return { kind: 'change', ...common, fields, dangerous: reason !== null, reason: reason ?? warningOf(after, fields) }
}

/** Another server knows nothing of what the one before accepts, and Rekey asks that one no more. */
function warningOf({ of }: Row, fields: readonly FieldChange[]): string | null {
  const moved = of === 'system' && fields.some(({ field }) => field === 'address.host' || field === 'address.port')
  const warning = 'values stay accepted at the address before; one that the new address does not accept cannot be proven dead'
  return moved ? `${warning}. Another server there must be accepted: rekey system accept-server` : null
}

function differences(before: Fields, after: Fields): FieldChange[] {
  return Object.entries(after)
    .filter(([field, value]) => JSON.stringify(before[field]) !== JSON.stringify(value))
    .map(([field, value]) => ({ field, before: before[field], after: value }))
}

const keyOf = ({ credential, name }: Row) => JSON.stringify([credential, name])
const sortKey = (row: Row | undefined) => (row?.credential == null ? [row?.name ?? ''] : [row.credential, row.name])

function byText(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i] ?? '', b[i] ?? '']
    if (x !== y) return x < y ? -1 : 1
  }
  return a.length - b.length
}

function systemRow({ name, connector, address, root, limits }: Inventory['systems'][number]): Row {
  const { host, port, database, tls, caFile } = address
  const fields = {
    connector,
    'address.host': host,
    'address.port': port,
    'address.database': database,
    'address.tls': tls,
    'address.caFile': caFile,
    'root.account': root.account,
    'limits.concurrent': limits.concurrent,
  }
  return { of: 'system', name, credential: null, fields }
}

function identityRow({ name, kind, owner, purpose, environment }: Inventory['identities'][number]): Row {
  return { of: 'identity', name, credential: null, fields: { kind, owner, purpose, environment } }
}

function credentialRows({ credentials }: Inventory, liveNames: ReadonlySet<string>): Row[] {
  return credentials.flatMap((credential) => {
    const { name, identity, system, strategy, rotate } = credential
    const accounts = liveNames.has(name) ? [...credential.accounts].sort() : credential.accounts
    const { everySeconds, graceSeconds } = rotate
    const fields = { identity, system, accounts, strategy, 'rotate.everySeconds': everySeconds, 'rotate.graceSeconds': graceSeconds }
    return [{ of: 'credential', name, credential: null, fields } as const, ...credential.consumers.map((it) => consumerRow(name, it))]
  })
}

function consumerRow(credential: string, { name, identity, file, activation }: FleetConsumer): Row {
  const fields = { identity, 'file.path': file?.path ?? null, 'file.key': file?.key ?? null, activation }
  return { of: 'consumer', name, credential, fields }
}

const LOOK = {
  add: { sign: '+', colour: 32 },
  change: { sign: '~', colour: 33 },
  'missing-from-file': { sign: '-', colour: 31 },
} as const

const TAKEOVER = 'unknown: the first rotation is a takeover and ends not provable'

/** The changes as lines for a terminal or a log, the summary last. `color` adds ANSI colours; nothing else escapes from a name. */
export function renderDiff(changes: readonly Change[], { color }: { readonly color: boolean }): string[] {
  const paint = (colour: number, text: string) => (color ? `\u001b[${colour}m${text}\u001b[0m` : text)
  const lines = changes.flatMap((change) => {
    const { sign, colour } = LOOK[change.kind]
    const where = change.credential === null ? '' : ` of ${printable(change.credential)}`
    return [
      paint(colour, `${sign} ${change.of} ${printable(change.name)}${where}`),
      ...change.fields.flatMap((field) => renderField(change, field)),
      ...(change.takeover === undefined ? [] : [`    current: ${change.takeover ? TAKEOVER : 'given'}`]),
      ...(change.reason === null
        ? []
        : [paint(LOOK['missing-from-file'].colour, `    ${change.dangerous ? 'refused' : 'warning'}: ${printable(change.reason)}`)]),
    ]
  })
  const count = (kind: Change['kind']) => changes.filter((change) => change.kind === kind).length
  const missing = count('missing-from-file')
  return [...lines, `${count('add')} to add, ${count('change')} to change, ${missing} missing from the file`]
}

function renderField({ kind }: Change, { field, before, after }: FieldChange): string[] {
  const label = field.replace(/Seconds$/, '')
  const show = (value: Json | undefined) => (label === field ? showValue(value) : showSeconds(value))
  if (kind === 'add') return after === null ? [] : [`    ${label}: ${show(after)}`]
  return [`    ${label}: ${show(before)} -> ${show(after)}`]
}

const showSeconds = (value: Json | undefined) => (typeof value === 'number' ? formatDuration(value) : showValue(value))

function showValue(value: Json | undefined): string {
  if (value === null || value === undefined) return '(none)'
  if (Array.isArray(value)) return value.map((item) => printable(String(item))).join(', ')
  return printable(String(value))
}
