/** Findings about credentials that could authenticate. */
import { type IdentityRecord, idsByName, ownersChanged, peopleEntitled, recordsById, unownedIdentities } from '../identity/index.ts'
import { type NamedConsumer, whoseConsumer } from './consumer.whose.ts'
import { type FindingKind, LONG_LIVED_DAYS, OVERDUE_SECONDS } from './finding.model.ts'
import { type Other, pageOf, type Raw, type Source } from './finding.source.ts'

interface CredentialRow {
  readonly id: string
  readonly name: string
  readonly system: string
  readonly identity_id: string | null
  readonly accounts: readonly string[]
  readonly current_since: Date | null
  readonly lasting: boolean
  readonly overdue_since: Date | null
  readonly shared_value: readonly Other[] | null
  readonly shared_account: readonly Other[] | null
  readonly users: readonly string[] | null
  readonly consumers: readonly NamedConsumer[] | null
  readonly reporters: readonly string[] | null
  readonly closing: boolean
  readonly created_at: Date
}

const OTHER = "jsonb_build_object('id', o.id, 'name', o.name, 'system', t.name, 'identity', o.identity_id)"

/** Of credentials that could authenticate: everything that is to be said of one is found in one look at its row. */
const CREDENTIALS_SQL = `
  select c.id, c.name, s.name as system, c.identity_id, c.accounts, c.created_at, v.created_at as current_since,
         c.every_seconds is null and v.created_at <= now() - make_interval(days => ${LONG_LIVED_DAYS}) as lasting,
         case when c.next_rotation_at <= now() - make_interval(secs => ${OVERDUE_SECONDS}) then c.next_rotation_at end as overdue_since,
         (select jsonb_agg(distinct x.other) from (
            select ${OTHER} as other from version w join credential o on o.id = w.credential_id
              join system t on t.id = o.system_id
             where w.fingerprint = v.fingerprint and w.credential_id <> c.id and w.state in ('staged', 'current', 'previous', 'irrevocable')
               and o.identity_id is distinct from c.identity_id
            -- Who left knows it: it is no less shared because their own credential with it is dead by now.
            union all
            select ${OTHER} from closure_item i join closure_item j on j.closure_id = i.closure_id
              join credential o on o.id = j.credential_id join system t on t.id = o.system_id
             where i.credential_id = c.id and i.relation = 'same_value' and i.ended_at is null and o.id <> c.id
               and exists (select 1 from version w where w.credential_id = o.id and w.fingerprint = v.fingerprint)) x) as shared_value,
         (select jsonb_agg(distinct ${OTHER}) from account a join credential o on o.id = a.credential_id
            join system t on t.id = a.system_id
           where a.name = any(c.accounts) and o.id <> c.id and o.identity_id is distinct from c.identity_id
             and t.connector = s.connector and t.host = s.host and t.port = s.port) as shared_account,
         (select array_agg(u.id::text) from exception e, unnest(e.users) as u(id)
           where e.credential_id = c.id and e.closed_at is null) as users,
         (select jsonb_agg(jsonb_build_object('name', k.name, 'identity', k.identity_id))
            from consumer k where k.credential_id = c.id) as consumers,
         (select array_agg(distinct a.by_person::text) from rotation r join activation a on a.rotation_id = r.id
           where r.credential_id = c.id and r.new_version_id = v.id and a.by_person is not null) as reporters,
         exists (select 1 from closure_item i where i.credential_id = c.id and i.ended_at is null and i.relation = 'own') as closing
    from credential c join system s on s.id = c.system_id
    join version v on v.credential_id = c.id and v.state = 'current'
   where not c.is_root and s.decommissioned_at is null and ($1::uuid is null or c.id > $1)
   order by c.id limit $2`

export const CREDENTIALS: Source = {
  name: 'credentials',
  kinds: ['orphan', 'ownerless', 'reused', 'human_use', 'overdue', 'long_lived'],
  async read(sql, after, limit) {
    const rows = await sql.query<CredentialRow>(CREDENTIALS_SQL, [after, limit])
    const consumers = rows.flatMap((row) => row.consumers ?? [])
    const named = await idsByName(
      sql,
      consumers.flatMap(({ name, identity }) => (identity === null ? [name] : [])),
    )
    const ids = rows.flatMap(({ identity_id, users, reporters }) => [
      ...(identity_id === null ? [] : [identity_id]),
      ...(users ?? []),
      ...(reporters ?? []),
    ])
    const records = await recordsById(sql, [...ids, ...named.values(), ...consumers.flatMap(({ identity }) => identity ?? [])])
    const changed = await ownersChanged(
      sql,
      [...records.values()].flatMap((record) => (isOwned(record) ? [] : (record.ownerId ?? []))),
    )
    const accounts = rows.flatMap(({ system, accounts }) => accounts.map((account) => ({ system, account })))
    const people = Map.groupBy(await peopleEntitled(sql, accounts), ({ system, account }) => JSON.stringify([system, account]))
    const found = rows.flatMap((row) => {
      const entitled = row.accounts.flatMap((account) => people.get(JSON.stringify([row.system, account])) ?? [])
      return ofCredential(
        row,
        records,
        peopleOf(
          row,
          records,
          named,
          entitled.map(({ name }) => name),
        ),
        changed,
      )
    })
    return { found, last: pageOf(rows, limit, (row) => row.id) }
  },
}

/**
 * The people of whom it is on record that they use a credential: entitled to its account, sharing it by an exception, named as a consumer
 * of it, or having shown that they hold its value. Sessions on the system are not among it: they carry the address of a machine, not a
 * person.
 */
function peopleOf(
  row: CredentialRow,
  records: ReadonlyMap<string, IdentityRecord>,
  named: ReadonlyMap<string, string>,
  entitled: readonly string[],
): string[] {
  const consumers = (row.consumers ?? []).flatMap((consumer) => whoseConsumer(consumer, undefined, named) ?? [])
  const others = [...(row.users ?? []), ...consumers, ...(row.reporters ?? [])].flatMap((id) => {
    const record = records.get(id)
    return record?.kind === 'human' && record.status !== 'offboarded' ? [record.name] : []
  })
  return [...new Set([...others, ...entitled])]
}

const isOwned = ({ ownerState }: IdentityRecord) => ownerState === 'person' || ownerState === 'team'

/** Since when nobody answers: since its owner changed last, so that a change of something else does not begin it anew. */
function ownerlessSince({ ownerId, createdAt }: IdentityRecord, changed: ReadonlyMap<string, Date>): Date {
  const at = changed.get(ownerId ?? '') ?? createdAt
  return at < createdAt ? createdAt : at
}

function ofCredential(
  row: CredentialRow,
  records: ReadonlyMap<string, IdentityRecord>,
  people: readonly string[],
  changed: ReadonlyMap<string, Date>,
): Raw[] {
  const record = records.get(row.identity_id ?? '')
  const make = (kind: FindingKind, detail: string, since: Date): Raw[] => [
    { kind, key: row.id, subject: row.name, system: row.system, identity: row.identity_id, detail, since },
  ]
  const gone = record === undefined || record.status === 'offboarded'
  const humans = record !== undefined && record.kind !== 'human' ? people : []
  const shared = new Map([...(row.shared_value ?? []), ...(row.shared_account ?? [])].map((other) => [other.id, other]))
  const trouble = record !== undefined && !isOwned(record)
  return [
    ...(gone && !row.closing
      ? make(
          'orphan',
          record === undefined ? 'it has no identity' : `its identity ${record.name} has left`,
          record?.changedAt ?? row.created_at,
        )
      : []),
    ...(trouble && !gone
      ? make(
          'ownerless',
          `${record.name} is owned by ${record.owner}: ${record.ownerState.replaceAll('_', ' ')}`,
          ownerlessSince(record, changed),
        )
      : []),
    ...make('reused', howShared(row), row.current_since ?? row.created_at)
      .filter(() => shared.size > 0)
      .map((raw): Raw => ({ ...raw, others: [...shared.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) })),
    ...(humans.length > 0 ? make('human_use', `owned by a ${record?.kind}, used by ${humans.slice(0, 5).join(', ')}`, row.created_at) : []),
    ...(row.overdue_since !== null && !row.closing ? make('overdue', 'its rotation is overdue', row.overdue_since) : []),
    ...(row.lasting
      ? make('long_lived', `its value is older than ${LONG_LIVED_DAYS} days and has no schedule`, row.current_since ?? row.created_at)
      : []),
  ]
}

const howShared = (row: CredentialRow) => ((row.shared_value ?? []).length > 0 ? 'its value' : 'its account')

/** Of an identity with credentials each of them is a finding (`CREDENTIALS`). */
export const UNOWNED: Source = {
  name: 'unowned',
  kinds: ['ownerless'],
  async read(sql, after, limit) {
    const ids = await unownedIdentities(sql, after, limit)
    const held = await sql.query<{ id: string }>('select distinct identity_id as id from credential where identity_id = any($1::uuid[])', [
      ids,
    ])
    const records = await recordsById(
      sql,
      ids.filter((id) => !held.some((one) => one.id === id)),
    )
    const found = [...records.values()].map(
      ({ id, name, owner, createdAt }): Raw => ({
        kind: 'ownerless',
        key: id,
        subject: name,
        system: null,
        identity: id,
        detail: `it is owned by ${owner}, whom nobody knows`,
        since: createdAt,
      }),
    )
    return { found, last: pageOf(ids, limit, (id) => id) }
  },
}
