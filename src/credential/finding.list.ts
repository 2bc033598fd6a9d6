/** Findings are computed from rows at each question: nothing is kept that could grow old. Every query reads a bounded part of one index. */
import {
  type Answerable,
  answerableFor,
  type IdentityRecord,
  openHandovers,
  peopleEntitled,
  recordsById,
  tokenMatters,
} from '../identity/index.ts'
import { isId, RekeyError } from '../kernel/index.ts'
import type { Allowed } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { FINDINGS, type Finding, type FindingKind, LONG_LIVED_DAYS, OVERDUE_SECONDS } from './finding.model.ts'

/** Which findings; all that are given must hold. */
export interface FindingFilter {
  readonly kind?: FindingKind | undefined
  readonly severity?: 'high' | 'medium' | 'low' | undefined
  /** Cursor that the page before gave. */
  readonly after?: string | undefined
  readonly limit: number
}

/** A finding before its owner is known: `owner`, or else who answers for the identity. */
interface Raw {
  readonly kind: FindingKind
  /** What makes it this one: an id, or ids. */
  readonly key: string
  readonly subject: string
  readonly system: string | null
  readonly identity: string | null
  readonly owner?: Answerable
  readonly detail: string
  readonly since: Date
}

/** One place where findings come from; `after` is the id of the last row that was looked at. */
interface Source {
  readonly name: string
  readonly kinds: readonly FindingKind[]
  read(sql: Sql, after: string | null, limit: number): Promise<{ readonly found: readonly Raw[]; readonly last: string | null }>
}

const words = (text: string) => text.replaceAll('_', ' ')
const pageOf = <T>(rows: readonly T[], limit: number, idOf: (row: T) => string) => (rows.length < limit ? null : idOf(rows[limit - 1] as T))

const CLOSURES: Source = {
  name: 'closures',
  kinds: ['closure_waits'],
  async read(sql, after, limit) {
    const rows = await sql.query<{
      id: string
      credential_name: string
      system: string
      identity_id: string
      state: string
      reason: string | null
      human_kind: 'person' | 'team' | null
      human_id: string | null
      human_name: string | null
      blocked_at: Date
    }>(
      `select i.id, i.credential_name, s.name as system, o.identity_id, i.state, i.problem ->> 'reason' as reason, i.human_kind, i.human_id,
              i.human_name, i.blocked_at
         from closure_item i join closure o on o.id = i.closure_id join system s on s.id = i.system_id
        where i.blocked_at is not null and i.state in ('blocked', 'handed_over') and ($1::uuid is null or i.id > $1)
        order by i.id limit $2`,
      [after, limit],
    )
    const found = rows.map((row): Raw => {
      const { human_kind: kind, human_id: id, human_name: name } = row
      const owner = kind !== null && id !== null && name !== null ? { owner: { kind, id, name } } : {}
      const detail = `${row.state.replaceAll('_', ' ')}: ${row.reason ?? 'no reason is kept'}`
      return {
        kind: 'closure_waits',
        key: row.id,
        subject: row.credential_name,
        system: row.system,
        identity: row.identity_id,
        ...owner,
        detail,
        since: row.blocked_at,
      }
    })
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

const EXCEPTIONS: Source = {
  name: 'exceptions',
  kinds: ['exception_past'],
  async read(sql, after, limit) {
    const rows = await sql.query<{
      id: string
      name: string
      system: string
      identity_id: string
      owner_kind: 'person' | 'team'
      owner_id: string
      owner_name: string
      kind: string
      waits_for: string
      ends_at: Date
    }>(
      `select e.id, c.name, s.name as system, c.identity_id, e.owner_kind, e.owner_id, e.owner_name, e.kind, e.waits_for, e.ends_at
         from exception e join credential c on c.id = e.credential_id join system s on s.id = c.system_id
        where e.closed_at is null and e.ends_at <= now() and ($1::uuid is null or e.id > $1) order by e.id limit $2`,
      [after, limit],
    )
    const found = rows.map(
      (row): Raw => ({
        kind: 'exception_past',
        key: row.id,
        subject: row.name,
        system: row.system,
        identity: row.identity_id,
        owner: { kind: row.owner_kind, id: row.owner_id, name: row.owner_name },
        detail: `${row.kind.replaceAll('_', ' ')} past its date; it waits for: ${row.waits_for}`,
        since: row.ends_at,
      }),
    )
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

const REVIEWS: Source = {
  name: 'reviews',
  kinds: ['review_overdue'],
  async read(sql, after, limit) {
    const rows = await sql.query<{ id: string; name: string; system: string; identity_id: string | null; why: string; due_at: Date }>(
      `select r.id, c.name, s.name as system, c.identity_id, r.why, r.due_at
         from review r join credential c on c.id = r.credential_id join system s on s.id = c.system_id
        where r.done_at is null and r.due_at <= now() and ($1::uuid is null or r.id > $1) order by r.id limit $2`,
      [after, limit],
    )
    const found = rows.map(
      (row): Raw => ({
        kind: 'review_overdue',
        key: row.id,
        subject: row.name,
        system: row.system,
        identity: row.identity_id,
        detail: `its review as ${row.why.replaceAll('_', ' ')} was not done`,
        since: row.due_at,
      }),
    )
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

const HANDOVERS: Source = {
  name: 'handovers',
  kinds: ['handover'],
  async read(sql, after, limit) {
    const open = await openHandovers(sql, { ...(after === null ? {} : { after }), limit })
    const found = open.map(
      (it): Raw => ({
        kind: 'handover',
        key: it.id,
        subject: it.identityName,
        system: null,
        identity: it.identity,
        owner: it.to,
        detail: `handed over from ${it.from.name} by the rule ${words(it.rule)}, because it was ${words(it.cause)}`,
        since: it.at,
      }),
    )
    return { found, last: pageOf(open, limit, (it) => it.id) }
  },
}

const VERSIONS: Source = {
  name: 'versions',
  kinds: ['irrevocable', 'unprovable'],
  async read(sql, after, limit) {
    const rows = await sql.query<{
      id: string
      number: number
      state: 'irrevocable' | 'unprovable'
      name: string
      system: string
      identity_id: string | null
      at: Date
    }>(
      `select v.id, v.number, v.state, c.name, s.name as system, c.identity_id, coalesce(v.revoked_at, v.created_at) as at
         from version v join credential c on c.id = v.credential_id join system s on s.id = c.system_id
        where v.state in ('irrevocable', 'unprovable') and ($1::uuid is null or v.id > $1) order by v.id limit $2`,
      [after, limit],
    )
    const found = rows.map(
      (row): Raw => ({
        kind: row.state,
        key: row.id,
        subject: row.name,
        system: row.system,
        identity: row.identity_id,
        detail:
          row.state === 'irrevocable' ? `version ${row.number} cannot be revoked` : `nobody can prove that version ${row.number} is dead`,
        since: row.at,
      }),
    )
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

interface CredentialRow {
  readonly id: string
  readonly name: string
  readonly system: string
  readonly identity_id: string | null
  readonly accounts: readonly string[]
  readonly current_since: Date | null
  readonly lasting: boolean
  readonly overdue_since: Date | null
  readonly shared_value: readonly string[] | null
  readonly shared_account: readonly string[] | null
  readonly users: readonly string[] | null
  readonly closing: boolean
  readonly created_at: Date
}

/** Of credentials that could authenticate: everything that is to be said of one is found in one look at its row. */
const CREDENTIALS_SQL = `
  select c.id, c.name, s.name as system, c.identity_id, c.accounts, c.created_at, v.created_at as current_since,
         c.every_seconds is null and v.created_at <= now() - make_interval(days => ${LONG_LIVED_DAYS}) as lasting,
         case when c.next_rotation_at <= now() - make_interval(secs => ${OVERDUE_SECONDS}) then c.next_rotation_at end as overdue_since,
         (select array_agg(distinct o.name order by o.name) from version w join credential o on o.id = w.credential_id
           where w.fingerprint = v.fingerprint and w.credential_id <> c.id and w.state in ('staged', 'current', 'previous', 'irrevocable')
             and o.identity_id is distinct from c.identity_id) as shared_value,
         (select array_agg(distinct o.name order by o.name) from account a join credential o on o.id = a.credential_id
            join system t on t.id = a.system_id
           where a.name = any(c.accounts) and o.id <> c.id and o.identity_id is distinct from c.identity_id
             and t.connector = s.connector and t.host = s.host and t.port = s.port) as shared_account,
         (select array_agg(u.id::text) from exception e, unnest(e.users) as u(id)
           where e.credential_id = c.id and e.closed_at is null) as users,
         exists (select 1 from closure_item i where i.credential_id = c.id and i.ended_at is null) as closing
    from credential c join system s on s.id = c.system_id
    join version v on v.credential_id = c.id and v.state = 'current'
   where not c.is_root and s.decommissioned_at is null and ($1::uuid is null or c.id > $1)
   order by c.id limit $2`

const CREDENTIALS: Source = {
  name: 'credentials',
  kinds: ['orphan', 'ownerless', 'reused', 'human_use', 'overdue', 'long_lived'],
  async read(sql, after, limit) {
    const rows = await sql.query<CredentialRow>(CREDENTIALS_SQL, [after, limit])
    const ids = rows.flatMap(({ identity_id, users }) => [...(identity_id === null ? [] : [identity_id]), ...(users ?? [])])
    const records = await recordsById(sql, [...new Set(ids)])
    const accounts = rows.flatMap(({ system, accounts }) => accounts.map((account) => ({ system, account })))
    const people = Map.groupBy(await peopleEntitled(sql, accounts), ({ system, account }) => JSON.stringify([system, account]))
    const found = rows.flatMap((row) => {
      const entitled = row.accounts.flatMap((account) => people.get(JSON.stringify([row.system, account])) ?? [])
      return ofCredential(row, records, [...new Set(entitled.map(({ name }) => name))])
    })
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

function ofCredential(row: CredentialRow, records: ReadonlyMap<string, IdentityRecord>, entitled: readonly string[]): Raw[] {
  const record = records.get(row.identity_id ?? '')
  const make = (kind: FindingKind, detail: string, since: Date): Raw[] => [
    { kind, key: row.id, subject: row.name, system: row.system, identity: row.identity_id, detail, since },
  ]
  const gone = record === undefined || record.status === 'offboarded'
  const people = (row.users ?? []).flatMap((id) => (records.get(id)?.kind === 'human' ? [records.get(id)?.name ?? id] : []))
  const humans = record !== undefined && record.kind !== 'human' ? [...new Set([...people, ...entitled])] : []
  const shared = [...new Set([...(row.shared_value ?? []), ...(row.shared_account ?? [])])]
  const trouble = record !== undefined && !['person', 'team'].includes(record.ownerState)
  return [
    ...(gone && !row.closing
      ? make(
          'orphan',
          record === undefined ? 'it has no identity' : `its identity ${record.name} has left`,
          record?.changedAt ?? row.created_at,
        )
      : []),
    ...(trouble && !gone
      ? make('ownerless', `${record.name} is owned by ${record.owner}: ${record.ownerState.replaceAll('_', ' ')}`, record.changedAt)
      : []),
    ...(shared.length > 0
      ? make('reused', `${howShared(row)} is also that of ${shared.slice(0, 5).join(', ')}`, row.current_since ?? row.created_at)
      : []),
    ...(humans.length > 0 ? make('human_use', `owned by a ${record?.kind}, used by ${humans.slice(0, 5).join(', ')}`, row.created_at) : []),
    ...(row.overdue_since !== null && !row.closing ? make('overdue', 'its rotation is overdue', row.overdue_since) : []),
    ...(row.lasting
      ? make('long_lived', `its value is older than ${LONG_LIVED_DAYS} days and has no schedule`, row.current_since ?? row.created_at)
      : []),
  ]
}

const howShared = (row: CredentialRow) => ((row.shared_value ?? []).length > 0 ? 'its value' : 'its account')

const TOKENS: Source = {
  name: 'tokens',
  kinds: ['token_of_nobody', 'token_stopped'],
  async read(sql, after, limit) {
    const matters = await tokenMatters(sql, after, limit)
    const found = matters.map(({ id, name, identity, stoppedFor, since }): Raw => {
      const about = { key: id, subject: name, system: null, identity, since }
      if (stoppedFor === null)
        return { ...about, kind: 'token_of_nobody', detail: 'nobody on record made this API token, and it has no identity' }
      return { ...about, kind: 'token_stopped', detail: `this API token is refused: ${stoppedFor.join(', ')} made it, and is not active` }
    })
    return { found, last: pageOf(matters, limit, (it) => it.id) }
  },
}

const SOURCES: readonly Source[] = [CLOSURES, EXCEPTIONS, REVIEWS, HANDOVERS, VERSIONS, CREDENTIALS, TOKENS]

/**
 * A page of findings, and the cursor of what follows (null at the end). A page looks at a bounded number of rows, so it may be short, or
 * empty, while there is more. Throws `bad_input` for a cursor that is none.
 */
export async function listFindings(
  sql: Sql,
  _may: Allowed<'finding:read'>,
  filter: FindingFilter,
): Promise<{ readonly items: Finding[]; readonly next: string | null }> {
  const sources = SOURCES.filter(({ kinds }) => filter.kind === undefined || kinds.includes(filter.kind))
  let [source, after] = cursorOf(sources, filter.after)
  const raw: Raw[] = []
  for (; source < sources.length && raw.length < filter.limit; source++) {
    const { found, last } = (await sources[source]?.read(sql, after, filter.limit)) ?? { found: [], last: null }
    raw.push(...found.filter(({ kind }) => wanted(kind, filter)))
    after = null
    if (last !== null) return { items: await withOwners(sql, raw), next: `${sources[source]?.name}:${last}` }
  }
  return { items: await withOwners(sql, raw), next: source < sources.length ? `${sources[source]?.name}:` : null }
}

function wanted(kind: FindingKind, filter: FindingFilter): boolean {
  return (filter.kind ?? kind) === kind && (filter.severity ?? FINDINGS[kind].severity) === FINDINGS[kind].severity
}

function cursorOf(sources: readonly Source[], text: string | undefined): [number, string | null] {
  if (text === undefined) return [0, null]
  const at = text.indexOf(':')
  const source = sources.findIndex(({ name }) => name === text.slice(0, at))
  const id = text.slice(at + 1)
  if (source < 0 || (id !== '' && !isId(id))) throw new RekeyError('bad_input', 'This is no cursor of a page of findings.')
  return [source, id === '' ? null : id]
}

async function withOwners(sql: Sql, raw: readonly Raw[]): Promise<Finding[]> {
  const records = await recordsById(sql, [...new Set(raw.flatMap(({ identity }) => identity ?? []))])
  const owners = new Map<string, Answerable>()
  const ownerOf = async (identity: string | null): Promise<Answerable> => {
    const known = owners.get(identity ?? '')
    if (known !== undefined) return known
    const owner = await answerableFor(sql, records.get(identity ?? '') ?? null)
    owners.set(identity ?? '', owner)
    return owner
  }
  const findings: Finding[] = []
  for (const { kind, key, owner, since, ...rest } of raw) {
    const { severity, control, action } = FINDINGS[kind]
    const identity = records.get(rest.identity ?? '')?.name ?? null
    const { id, kind: ownerKind, name } = owner ?? (await ownerOf(rest.identity))
    const of = { ...rest, identity, owner: { kind: ownerKind, id, name }, since: since.toISOString() }
    findings.push({ finding: `${kind}:${key}`, kind, severity, control, action, ...of })
  }
  return findings
}
