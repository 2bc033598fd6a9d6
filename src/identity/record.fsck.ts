import { type EventBody, eachEvent } from '../evidence/index.ts'
import { type Json, nameKey } from '../kernel/index.ts'
import type { Sql, Store } from '../store/index.ts'
import { entitlementKey } from './record.model.ts'
import { COLUMNS, factsOf, labelAddress, type Row } from './record.store.ts'
import { BUILT_IN, SECURITY_CONTACT } from './team.model.ts'

/** Something that does not agree. */
interface Finding {
  readonly where: string
  readonly what: string
}

type Report = (where: string, what: string) => void

/** What the log says of one identity so far. */
interface Told {
  readonly facts: Map<string, Json>
  readonly labels: Map<string, Json>
  readonly entitlements: Set<string>
  readonly external: Map<string, string>
}

interface ToldTeam {
  name: string
  /** What was said when it was made; empty for an event that did not say. */
  readonly facts: Readonly<Record<string, Json | undefined>>
  readonly members: Set<string>
  readonly nested: Set<string>
}

interface Story {
  readonly identities: Map<string, Told>
  readonly teams: Map<string, ToldTeam>
}

const AT_ONCE = 5000
const FIRST = '00000000-0000-0000-0000-000000000000'

/**
 * Compares the record's rows with the identity log, folded from its first event: every fact of every identity, its status, labels,
 * entitlements and external ids, and every team with its members. In one snapshot, so that what changes meanwhile is no finding.
 * Resolves with what does not agree; with nothing if all does. Throws `unavailable`, `database_failed`.
 */
export async function fsckIdentities(store: Store): Promise<Finding[]> {
  return store.onConnection(async (sql) => {
    await sql.query('begin transaction isolation level repeatable read read only')
    try {
      return await recordFindings(sql)
    } finally {
      await sql.query('rollback')
    }
  })
}

/** The same in the caller's transaction, which should be one snapshot. */
export async function recordFindings(sql: Sql): Promise<Finding[]> {
  const findings: Finding[] = []
  const report: Report = (where, what) => void findings.push({ where, what })
  const story: Story = { identities: new Map(), teams: new Map() }
  for await (const event of eachEvent(sql, 'identity')) follow(story, event)
  await compareIdentities(sql, story, report)
  await compareTeams(sql, story, report)
  return findings
}

function follow(story: Story, event: EventBody): void {
  const { identity, team } = event.links
  if (identity !== undefined && event.type.startsWith('identity.')) followIdentity(story, identity, event)
  else if (team !== undefined && event.type.startsWith('team.')) followTeam(story, team, event)
}

const STATUS: Readonly<Record<string, string>> = {
  'identity.suspended': 'suspended',
  'identity.resumed': 'active',
  'identity.offboarded': 'offboarded',
}

function followIdentity({ identities, teams }: Story, id: string, { type, subject, data }: EventBody): void {
  if (type === 'identity.removed') {
    identities.delete(id)
    for (const team of teams.values()) team.members.delete(id)
    return
  }
  const told = identities.get(id) ?? begun(subject)
  identities.set(id, told)
  const { after, labels, externalIds, added, removed, ...facts } = data
  const now = type === 'identity.added' || type === 'identity.joined' ? facts : objectOf(after)
  for (const [key, value] of Object.entries(now)) if (key !== 'reason') told.facts.set(key, value)
  // A declared owner that changes is a text again until it is resolved.
  if (type === 'identity.changed' && 'owner' in now && !('ownerPerson' in now)) for (const key of OWNERS) told.facts.delete(key)
  for (const [key, value] of Object.entries(objectOf(labels))) told.labels.set(key, value)
  for (const item of listOf(externalIds)) told.external.set(String(objectOf(item).source), String(objectOf(item).id ?? ''))
  for (const item of listOf(added)) told.entitlements.add(keyOf(item))
  for (const item of listOf(removed)) told.entitlements.delete(keyOf(item))
  const status = STATUS[type]
  if (status !== undefined) told.facts.set('status', status)
  if (type === 'identity.barred' || data.barred === true) told.facts.set('barred', true)
  if (type === 'identity.resumed') told.facts.delete('barred')
}

const OWNERS = ['ownerPerson', 'ownerTeam']

function begun(name: string): Told {
  // What events from before the record had these fields leave out.
  const facts: [string, Json][] = [
    ['name', name],
    ['status', 'active'],
    ['tenancy', 'default'],
    ['source', 'declared'],
  ]
  return { facts: new Map(facts), labels: new Map(), entitlements: new Set(), external: new Map() }
}

function followTeam({ teams }: Story, id: string, { type, subject, data }: EventBody): void {
  if (type === 'team.removed') {
    teams.delete(id)
    for (const team of teams.values()) team.nested.delete(id)
    return
  }
  const { tenancy, source, externalId, leftBy } = data
  const facts = type === 'team.created' ? { tenancy, source, externalId, leftBy: null } : {}
  const before = teams.get(id)
  if (type === 'team.kept' && before !== undefined) {
    for (const team of teams.values()) team.nested.delete(id)
    const { tenancy: kept } = before.facts
    teams.set(id, { ...before, facts: { tenancy: kept, source, externalId, leftBy }, members: new Set(), nested: new Set() })
    return
  }
  const told = teams.get(id) ?? { name: subject, facts, members: new Set(), nested: new Set() }
  teams.set(id, told)
  told.name = subject
  for (const one of listOf(data.added)) told.members.add(String(one))
  for (const one of listOf(data.removed)) told.members.delete(String(one))
  for (const one of listOf(data.addedTeams)) told.nested.add(String(one))
  for (const one of listOf(data.removedTeams)) told.nested.delete(String(one))
}

const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const objectOf = (value: Json | undefined) => (isObject(value) ? value : {})
const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : [])

function keyOf(item: Json): string {
  const { system, account, role } = objectOf(item)
  return entitlementKey({ system: String(system), account: String(account), role: String(role) })
}

type Full = Row & {
  readonly labels: [key: string, value: string, address: string | null][] | null
  readonly held: string[][] | null
  readonly external: [string, string][] | null
}

const IDENTITIES = `
  select ${COLUMNS},
         (select jsonb_agg(jsonb_build_array(l.key, l.value, l.address)) from identity_label l where l.identity_id = i.id) as labels,
         (select jsonb_agg(jsonb_build_array(e.system, e.account, e.role)) from entitlement e where e.identity_id = i.id) as held,
         (select jsonb_agg(jsonb_build_array(x.source, x.external_id)) from identity_external x where x.identity_id = i.id) as external
    from identity i where id > $1 order by id limit $2`

async function compareIdentities(sql: Sql, { identities }: Story, report: Report): Promise<void> {
  for (let after = FIRST; ; ) {
    const rows = await sql.query<Full>(IDENTITIES, [after, AT_ONCE])
    for (const row of rows) {
      compareIdentity(row, identities.get(row.id), report)
      identities.delete(row.id)
    }
    const last = rows.at(-1)
    if (last === undefined) break
    after = last.id
  }
  for (const [id, { facts }] of identities) report(`identity ${id} called ${facts.get('name')}`, 'The log knows it; the table does not.')
}

function compareIdentity(row: Full, told: Told | undefined, report: Report): void {
  const where = `identity ${row.id} called ${row.name}`
  if (told === undefined) {
    report(where, 'The table knows it; the log does not.')
    return
  }
  const stored = new Map<string, Json>([...Object.entries(factsOf(row)), ['status', row.status]])
  differ(stored, told.facts, (key, table, log) => report(where, `Its ${key} is ${table} by the table, ${log} by the log.`))
  differ(new Map((row.labels ?? []).map(([key, value]) => [key, value])), told.labels, (key, table, log) =>
    report(where, `Its label ${key} is ${table} by the table, ${log} by the log.`),
  )
  compareFolded(row, where, report)
  const known = [...told.external].filter(([, id]) => id !== '')
  differ(new Map(row.external), new Map(known), (key, table, log) =>
    report(where, `Its id at ${key} is ${table} by the table, ${log} by the log.`),
  )
  const held = new Set((row.held ?? []).map((each) => JSON.stringify(each)))
  compareSets(held, told.entitlements, (one, side) => report(where, `The entitlement ${one} is known to the ${side} only.`))
}

/** What names and addresses are compared by is made of them, and of nothing else. */
function compareFolded({ name, name_key, labels }: Full, where: string, report: Report): void {
  if (name_key !== nameKey(name)) report(where, 'What its name is compared by is not made of its name.')
  for (const [key, value, address] of labels ?? []) {
    if (address !== labelAddress(key, value)) report(where, `What its label ${key} is compared by is not made of that label.`)
  }
}

/** Calls `tell` for every key whose values differ; null is the same as absent. */
function differ(
  stored: ReadonlyMap<string, Json>,
  told: ReadonlyMap<string, Json>,
  tell: (key: string, a: string, b: string) => void,
): void {
  for (const key of new Set([...stored.keys(), ...told.keys()])) {
    const [a, b] = [stored.get(key) ?? null, told.get(key) ?? null]
    if (a !== b) tell(key, JSON.stringify(a), JSON.stringify(b))
  }
}

function compareSets(stored: ReadonlySet<string>, told: ReadonlySet<string>, tell: (one: string, side: 'table' | 'log') => void): void {
  for (const one of stored) if (!told.has(one)) tell(one, 'table')
  for (const one of told) if (!stored.has(one)) tell(one, 'log')
}

interface TeamRow {
  readonly id: string
  readonly name: string
  readonly source: string
  readonly tenancy: string
  readonly externalId: string | null
  readonly members: string[] | null
  readonly nested: string[] | null
}

/** The team that is always there, as a migration made it. */
const ALWAYS = { name: 'security-contact', facts: { tenancy: 'default', source: BUILT_IN, externalId: null } } as const

async function compareTeams(sql: Sql, { teams }: Story, report: Report): Promise<void> {
  // Made by a migration, not by anybody; its members are told like those of any other.
  const always = teams.get(SECURITY_CONTACT)
  teams.set(SECURITY_CONTACT, { ...ALWAYS, members: always?.members ?? new Set(), nested: always?.nested ?? new Set() })
  for (let after = FIRST; ; ) {
    const rows = await sql.query<TeamRow>(
      `select t.id, t.name, t.source, t.tenancy, t.external_id as "externalId", t.left_by as "leftBy",
              (select jsonb_agg(m.identity_id) from team_member m where m.team_id = t.id) as members,
              (select jsonb_agg(n.child_id) from team_nesting n where n.parent_id = t.id) as nested
         from team t where t.id > $1 order by t.id limit 500`,
      [after],
    )
    for (const row of rows) {
      const where = `team ${row.id} called ${row.name}`
      const known = teams.get(row.id) ?? null
      teams.delete(row.id)
      if (known === null) {
        report(where, 'The table knows it; the log does not.')
        continue
      }
      if (known.name !== row.name) report(where, `Its name by the log is ${known.name}.`)
      const facts = Object.entries(known.facts).flatMap(([key, value]): [string, Json][] => (value === undefined ? [] : [[key, value]]))
      const stored = facts.map(([key]): [string, Json] => [key, row[key as keyof typeof known.facts & keyof TeamRow] ?? null])
      differ(new Map(stored), new Map(facts), (key, a, b) => report(where, `Its ${key} is ${a} by the table, ${b} by the log.`))
      compareSets(new Set(row.members), known.members, (one, side) => report(where, `Its member ${one} is known to the ${side} only.`))
      compareSets(new Set(row.nested), known.nested, (one, side) => report(where, `Its nested team ${one} is known to the ${side} only.`))
    }
    const last = rows.at(-1)
    if (last === undefined) break
    after = last.id
  }
  for (const [id, { name }] of teams) report(`team ${id} called ${name}`, 'The log knows it; the table does not.')
}
