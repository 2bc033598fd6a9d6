import { type EventBody, eachEvent } from '../evidence/index.ts'
import type { Json } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'
import { type Declared, declaredItems } from './fleet.diff.ts'
import { rootRows, scheduleFaults, strayAccounts } from './fsck.store.ts'
import { authorityDigest } from './inventory.events.ts'
import { loadPresent, type Present } from './inventory.plan.ts'
import { factsKey } from './server.model.ts'

type Fields = Readonly<Record<string, Json>>
type Item = Pick<Declared, 'of' | 'name' | 'credential' | 'fields'>
type Report = (where: string, what: string) => void

/** The inventory as the log tells it: every declared item with its fields, by `keyOf`. */
export type Inventoried = Map<string, Item>

const keyOf = ({ of, name, credential }: Pick<Item, 'of' | 'name' | 'credential'>) => JSON.stringify([of, credential, name])

/** Members of events that tell of the event and not of the item. */
const ABOUT: ReadonlySet<string> = new Set(['consumers', 'consumerCount', 'consumer', 'what', 'authority', 'caFile', 'proof'])

const ROOT = 'root@'

/** Adds what one event says to the inventory. Events that change no declared field are passed over. */
export function followInventory(items: Inventoried, event: EventBody): void {
  const [noun = '', verb] = event.type.split('.')
  if (noun !== 'system' && noun !== 'credential') return
  const item = { of: noun, name: event.subject, credential: null } as const
  if (verb === 'added') addItem(items, item, event)
  else if (verb === 'removed') removeItem(items, item)
  else if (verb === 'decommissioned') changeItem(items, item, { decommissioned: true })
  else if (verb === 'changed' && typeof event.data.consumer === 'string') followConsumer(items, event, event.data.consumer)
  else if (verb === 'changed') changeItem(items, item, changedFields(event.data))
  else if (verb === 'server_seen' || verb === 'server_accepted') changeItem(items, item, serverFields(items, item, event.data))
}

function addItem(items: Inventoried, item: Omit<Item, 'fields'>, { data, subject }: EventBody): void {
  const fields: Record<string, Json> = plainFields(data)
  if (item.of === 'system') Object.assign(fields, { decommissioned: false, epoch: 0, apart: false })
  if (item.of === 'credential' && fields.root === true) fields.system = subject.slice(ROOT.length)
  items.set(keyOf(item), { ...item, fields })
  for (const consumer of listOf(data.consumers)) {
    const { name, ...rest } = consumer
    const place = { of: 'consumer', name: String(name), credential: subject } as const
    items.set(keyOf(place), { ...place, fields: rest })
  }
}

function removeItem(items: Inventoried, item: Omit<Item, 'fields'>): void {
  items.delete(keyOf(item))
  if (item.of === 'system') items.delete(keyOf({ of: 'credential', name: `${ROOT}${item.name}`, credential: null }))
  if (item.of !== 'credential') return
  for (const [key, { credential }] of items) if (credential === item.name) items.delete(key)
}

function followConsumer(items: Inventoried, { subject, data }: EventBody, name: string): void {
  const item = { of: 'consumer', name, credential: subject } as const
  if (data.what === 'removed') items.delete(keyOf(item))
  else if (data.what === 'added') items.set(keyOf(item), { ...item, fields: plainFields(data) })
  else changeItem(items, item, afterOf(data))
}

function changeItem(items: Inventoried, item: Omit<Item, 'fields'>, fields: Fields): void {
  const key = keyOf(item)
  items.set(key, { ...item, fields: { ...items.get(key)?.fields, ...fields } })
}

function plainFields(data: Fields): Record<string, Json> {
  return Object.fromEntries(Object.entries(data).filter(([field]) => !ABOUT.has(field)))
}

/** What fields are after a change: `{ field: { before, after } }`. */
function afterOf(data: Fields): Fields {
  return Object.fromEntries(
    Object.entries(data).flatMap(([field, change]) => (isFields(change) && 'after' in change ? [[field, change.after ?? null]] : [])),
  )
}

/** Of another kind of system nothing is known of which server it is, and of another root not as which account it is taken. */
function changedFields(data: Fields): Fields {
  const after = afterOf(data)
  return {
    ...after,
    ...('connector' in after ? { server: null } : {}),
    ...('connector' in after || 'root.account' in after ? { rootMatched: null } : {}),
  }
}

function serverFields(items: Inventoried, item: Omit<Item, 'fields'>, { facts, rootAccount, epoch, apart }: Fields): Fields {
  const declared = items.get(keyOf(item))?.fields['root.account']
  return {
    server: factsOf(facts),
    rootMatched: rootAccount === declared ? null : (rootAccount ?? null),
    ...(epoch === undefined ? {} : { epoch }),
    ...(apart === undefined ? {} : { apart }),
  }
}

function factsOf(facts: Json | undefined): string | null {
  return isFields(facts) ? factsKey(Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, String(value)]))) : null
}

function isFields(value: Json | undefined): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function listOf(value: Json | undefined): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : []
}

/**
 * Names every declared field, item, account and schedule in which the tables differ from what the log tells. What an apply changes
 * while this runs can look like a difference: `inventoryFindings` looks twice.
 */
async function compareInventory(sql: Sql, items: Inventoried, names: Names, report: Report): Promise<void> {
  const stored = new Map((await storedItems(sql, items, names)).map((item) => [keyOf(item), item]))
  for (const [key, told] of items) {
    const item = stored.get(key)
    if (item === undefined) report(whereOf(told), 'The log knows it; the table does not.')
    else compareFields(told, item, report)
  }
  for (const [key, item] of stored) if (!items.has(key)) report(whereOf(item), 'The table has it; the log knows nothing of it.')
  for (const { name } of await strayAccounts(sql))
    report(`credential ${name}`, 'The accounts that are taken for it are not those it names.')
  for (const { name } of await scheduleFaults(sql)) report(`credential ${name}`, 'Its next rotation is not when its schedule says.')
}

function compareFields(told: Item, stored: Item, report: Report): void {
  for (const field of new Set([...Object.keys(told.fields), ...Object.keys(stored.fields)])) {
    const [log, table] = [told.fields[field] ?? null, stored.fields[field] ?? null]
    if (JSON.stringify(log) === JSON.stringify(table)) continue
    report(whereOf(told), `${field} is ${JSON.stringify(log)} by the log; the table says ${JSON.stringify(table)}.`)
  }
}

const whereOf = ({ of, name, credential }: Item) => `${of} ${name}${credential === null ? '' : ` of ${credential}`}`

/** Identities are left to `fsckIdentities`. */
async function storedItems(sql: Sql, told: Inventoried, names: Names): Promise<Item[]> {
  const present = await loadPresent(sql)
  const items = declaredItems(present.inventory).flatMap((item) => {
    if (item.of === 'identity') return []
    return item.of === 'system' ? withAuthority(present, item) : withToldName(present, item, told.get(keyOf(item)), names)
  })
  const roots = (await rootRows(sql)).map(({ name, every, grace, ...fields }): Item => {
    // Its event tells none of these: without one, nothing is compared with nothing.
    const rotate = { 'rotate.everySeconds': every, 'rotate.graceSeconds': grace === 0 ? null : grace }
    return { of: 'credential', name, credential: null, fields: { root: true, ...fields, ...rotate } }
  })
  return [...items, ...roots]
}

/** What a diff does not compare: the text of the authority, as its digest, whether the system is given up, and which server it is. */
function withAuthority({ systems }: Present, item: Item): Item {
  const row = systems.get(item.name)
  if (row === undefined) return item
  const { decommissioned, epoch, apart, root_matched: rootMatched } = row
  const server = storedFacts(row.server)
  return { ...item, fields: { ...item.fields, ca: authorityDigest(row.ca), decommissioned, server, epoch, apart, rootMatched } }
}

/** As an event tells them; a row that was changed by hand may hold anything, which is shown as it is. */
function storedFacts(server: unknown): Json {
  if (server === null) return null
  const facts = isFields(server as Json) ? (server as Fields).facts : undefined
  return factsOf(facts) ?? (server as Json)
}

/** The events of a credential and of a consumer name its identity as it was called at that time. */
function withToldName(present: Present, item: Item, told: Item | undefined, names: Names): Item {
  const id = identityOf(present, item)
  const then = told?.fields.identity
  if (id === null || typeof then !== 'string' || !names.get(id)?.has(then)) return item
  return { ...item, fields: { ...item.fields, identity: then } }
}

function identityOf({ credentials, consumers }: Present, { of, name, credential }: Item): string | null {
  if (of === 'credential') return credentials.get(name)?.identity_id ?? null
  const row = credentials.get(credential ?? '')
  return (row && consumers.get(row.id)?.find((consumer) => consumer.name === name)?.identity_id) ?? null
}

/** Every name that an identity had by the log, by its id. */
type Names = ReadonlyMap<string, ReadonlySet<string>>

async function namesOf(sql: Sql): Promise<Names> {
  const names = new Map<string, Set<string>>()
  for await (const { links, subject } of eachEvent(sql, 'identity')) {
    const { identity } = links
    if (identity !== undefined) names.set(identity, (names.get(identity) ?? new Set()).add(subject))
  }
  return names
}

async function findingsOf(sql: Sql, items: Inventoried): Promise<{ where: string; what: string }[]> {
  const findings: { where: string; what: string }[] = []
  await compareInventory(sql, items, await namesOf(sql), (where, what) => void findings.push({ where, what }))
  return findings
}

/**
 * Compares systems, identities, credentials and consumers with the log; `items` is what the credential log told so far. If something
 * differs, all is read again and only what differs both times counts: an apply may have run meanwhile, and no lock is held.
 */
export async function inventoryFindings(sql: Sql, items: Inventoried): Promise<{ readonly where: string; readonly what: string }[]> {
  const first = await findingsOf(sql, items)
  if (first.length === 0) return []
  const again: Inventoried = new Map()
  for await (const event of eachEvent(sql, 'credential')) followInventory(again, event)
  const seen = new Set(first.map((finding) => JSON.stringify(finding)))
  return (await findingsOf(sql, again)).filter((finding) => seen.has(JSON.stringify(finding)))
}
