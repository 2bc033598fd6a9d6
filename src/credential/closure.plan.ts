import { type IdentityRecord, idsByName, recordsById } from '../identity/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { type Relation, type WayChosen, wayFor, wayOfOthers } from './closure.model.ts'
import { type NamedConsumer, whoseConsumer } from './consumer.whose.ts'
import type { Targets } from './targets.ts'

/** What becomes of one credential, and why. */
export interface PlannedItem extends WayChosen {
  readonly credential: string
  readonly name: string
  readonly systemId: string
  readonly system: string
  readonly accounts: readonly string[]
  readonly relation: Relation
  /** Id of the identity whose it is; null: a root credential's. */
  readonly holder: string | null
  /** Ids of the versions that could authenticate. */
  readonly known: readonly string[]
  /** What is done on the system, in its own words; null where nothing is. */
  readonly suspends: string | null
  readonly destroys: string | null
}

interface Row {
  readonly id: string
  readonly name: string
  readonly identity_id: string | null
  readonly system_id: string
  readonly system: string
  readonly connector: string
  readonly accounts: readonly string[]
  readonly decommissioned: boolean
  readonly drives: boolean
  readonly shared: readonly string[] | null
  readonly consumers: readonly NamedConsumer[] | null
  readonly users: readonly string[] | null
  readonly known: readonly string[]
}

/** Of somebody else's credential: how an identity knows its value. */
interface RowOfOthers extends Row {
  readonly consumed: boolean
  /** Credentials that the identity has or consumes, and that have or had the same value. */
  readonly same: readonly string[] | null
}

/** The facts of a credential. */
const FACTS = `c.id, c.name, c.identity_id, c.system_id, s.name as system, s.connector, c.accounts,
         s.decommissioned_at is not null as decommissioned,
         exists (select 1 from system r where r.connector = s.connector and r.host = s.host and r.port = s.port
                    and r.root_account = any(c.accounts)) as drives,
         (select array_agg(distinct o.name order by o.name) from account a join credential o on o.id = a.credential_id
            join system t on t.id = a.system_id
           where a.name = any(c.accounts) and o.id <> c.id and not o.is_root
             and t.connector = s.connector and t.host = s.host and t.port = s.port) as shared,
         (select jsonb_agg(jsonb_build_object('name', k.name, 'identity', k.identity_id) order by k.name)
            from consumer k where k.credential_id = c.id) as consumers,
         (select array_agg(distinct u.id::text) from exception e, unnest(e.users) as u(id)
           where e.credential_id = c.id and e.closed_at is null) as users,
         v.known`

/** Credentials with a value that could still authenticate, of which more conditions choose. */
const WHOSE = `
    from credential c join system s on s.id = c.system_id
    cross join lateral (select array_agg(v.id::text order by v.id) as known from version v
                         where v.credential_id = c.id and v.state in ('staged', 'current', 'previous')) v
   where v.known is not null and ($2::uuid is null or c.id = $2)`

/** Those of others that somebody consumes or shares, or has shown to hold the value of. */
const CONSUMED = `
  select k.credential_id as id from consumer k where k.identity_id = $1
   union select k.credential_id from consumer k where k.identity_id is null and k.name = $3
   union select e.credential_id from exception e where e.closed_at is null and $1 = any(e.users)
   union select r.credential_id from activation a join rotation r on r.id = a.rotation_id join version v on v.id = r.new_version_id
          where a.by_person = $1 and v.state in ('staged', 'current', 'previous')`

/** Values of an identity: by keyed fingerprints, of every version that its credentials and those that it consumes have or had. */
const VALUES = `
  select v.fingerprint, x.name from version v join credential x on x.id = v.credential_id
   where v.fingerprint is not null and (x.identity_id = $1 or x.id in (select id from consumed))`

const OF_OTHERS = `
  with consumed as (${CONSUMED}), own_value as (${VALUES}),
       same as (select w.credential_id as id, array_agg(distinct o.name order by o.name) as names
                  from own_value o join version w on w.fingerprint = o.fingerprint
                 where w.state in ('staged', 'current', 'previous') group by w.credential_id)
  select ${FACTS}, c.id in (select id from consumed) as consumed, (select names from same where same.id = c.id) as same
         ${WHOSE} and c.identity_id is distinct from $1
     and (c.id in (select id from consumed) and not c.is_root or c.id in (select id from same))
   order by c.name`

type Plans = Pick<Targets, 'connectorFor'>

/** The way of each credential of an identity, or of one of them, by name; `forAll`: ended also for others who use it. */
export async function planFor(
  sql: Sql,
  targets: Plans,
  record: IdentityRecord,
  credential: string | null,
  forAll = false,
): Promise<PlannedItem[]> {
  const found = await sql.query<Row>(`select ${FACTS} ${WHOSE} and c.identity_id = $1 and not c.is_root order by c.name`, [
    record.id,
    credential,
  ])
  const users = await usersOf(sql, found, record)
  return found.map((row) => {
    const { suspension, canRevoke } = targets.connectorFor(row.connector).describe()
    const { own: _, ...rest } = users(row)
    const chosen = wayFor({ ...factsOf(row), ...rest, canSuspend: suspension !== null, canRevoke, forAll })
    const does = chosen.way === 'suspend' ? suspension : null
    return { ...itemOf(row, chosen, 'own'), suspends: does?.suspends ?? null, destroys: does?.destroys ?? null }
  })
}

/**
 * The way of each credential of somebody else of which an identity knows the value, or of one of them, by name. It counts when the
 * identity is offboarded: a suspension leaves what is somebody else's as it is.
 */
export async function planOfOthers(sql: Sql, targets: Plans, record: IdentityRecord, credential: string | null): Promise<PlannedItem[]> {
  const found = await sql.query<RowOfOthers>(OF_OTHERS, [record.id, credential, record.name])
  const users = await usersOf(sql, found, record)
  return found.map((row) => {
    const { canRevoke } = targets.connectorFor(row.connector).describe()
    const { own, ...rest } = users(row)
    const chosen = wayOfOthers({ ...factsOf(row), ...rest, canRevoke }, becauseOf(row, own, record))
    return { ...itemOf(row, chosen, row.consumed ? 'consumer' : 'same_value'), suspends: null, destroys: null }
  })
}

function becauseOf({ consumed, same }: RowOfOthers, own: readonly string[], { name }: IdentityRecord): string {
  if (own.length > 0) return `${name} consumes it as ${own.slice(0, 3).join(', ')}`
  if (consumed) return `${name} shares it and knows its value`
  return `its value is also that of ${(same ?? []).slice(0, 3).join(', ')}, which ${name} knows`
}

const factsOf = ({ decommissioned, drives, shared }: Row) => ({ decommissioned, drives, sharedWith: shared ?? [] })

function itemOf(row: Row, chosen: WayChosen, relation: Relation): Omit<PlannedItem, 'suspends' | 'destroys'> {
  const { id: credential, name, identity_id: holder, system_id: systemId, system, accounts, known } = row
  return { ...chosen, credential, name, systemId, system, accounts, relation, holder, known }
}

/** Tells of a row which consumers are the identity's, which are somebody else's, and who shares it by an exception. */
async function usersOf(sql: Sql, found: readonly Row[], leaver: IdentityRecord) {
  const { id } = leaver
  const consumers = found.flatMap((row) => row.consumers ?? [])
  const named = await idsByName(
    sql,
    consumers.flatMap(({ name, identity }) => (identity === null ? [name] : [])),
  )
  const ids = [
    ...consumers.flatMap(({ identity }) => identity ?? []),
    ...found.flatMap((row) => [...(row.users ?? []), ...(row.identity_id === null ? [] : [row.identity_id])]),
  ]
  const records = await recordsById(sql, ids)
  return (row: Row) => {
    const holder = row.identity_id === leaver.id ? leaver : records.get(row.identity_id ?? '')
    const isOwn = (consumer: NamedConsumer) => whoseConsumer(consumer, holder, named) === id
    // Who left shares nothing any more; who is only suspended may come back.
    const isGone = ({ identity }: NamedConsumer) => identity !== null && records.get(identity)?.status === 'offboarded'
    const all = row.consumers ?? []
    return {
      own: all.filter(isOwn).map(({ name }) => name),
      others: all.filter((consumer) => !isOwn(consumer) && !isGone(consumer)).map(({ name }) => name),
      users: (row.users ?? []).flatMap((one) => {
        const user = records.get(one)
        return user === undefined || user.id === id || user.status === 'offboarded' ? [] : [user.name]
      }),
    }
  }
}

/**
 * The way of an item that was not touched yet is chosen by what is so now: who shared the account may have gone, or come. One that somebody
 * ordered to be ended for others too stays so: it is the only one that is suspended although it names others.
 */
export async function planAnew(
  targets: Plans,
  tx: Tx,
  item: { readonly id: string; readonly identity: string; readonly credential_id: string },
): Promise<void> {
  const record = (await recordsById(tx, [item.identity])).get(item.identity)
  const [kept] = await tx.query<{ forAll: boolean; relation: Relation }>(
    `select way = 'suspend' and consumers <> '{}' as "forAll", relation from closure_item where id = $1`,
    [item.id],
  )
  if (record === undefined || kept === undefined) return
  const [planned] =
    kept.relation === 'own'
      ? await planFor(tx, targets, record, item.credential_id, kept.forAll)
      : await planOfOthers(tx, targets, record, item.credential_id)
  if (planned === undefined) return
  await tx.query('update closure_item set way = $2, why = $3, consumers = $4 where id = $1', [
    item.id,
    planned.way,
    planned.why,
    planned.consumers,
  ])
}
