import { type IdentityRecord, idsByName, recordsById } from '../identity/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { type Way, type WayChosen, wayFor } from './closure.model.ts'
import { type NamedConsumer, whoseConsumer } from './consumer.whose.ts'
import type { Targets } from './targets.ts'

/** What becomes of one credential, and why. */
export interface PlannedItem extends WayChosen {
  readonly credential: string
  readonly name: string
  readonly systemId: string
  readonly system: string
  readonly accounts: readonly string[]
  readonly way: Way
  /** What is done on the system, in its own words; null where nothing is. */
  readonly suspends: string | null
  readonly destroys: string | null
}

interface Row {
  readonly id: string
  readonly name: string
  readonly system_id: string
  readonly system: string
  readonly connector: string
  readonly accounts: readonly string[]
  readonly decommissioned: boolean
  readonly drives: boolean
  readonly shared: readonly string[] | null
  readonly consumers: readonly NamedConsumer[] | null
  readonly users: readonly string[] | null
}

/** Credentials with a value that could still authenticate; those already on their way by another closure of their own too. */
const ROWS = `
  select c.id, c.name, c.system_id, s.name as system, s.connector, c.accounts, s.decommissioned_at is not null as decommissioned,
         exists (select 1 from system r where r.connector = s.connector and r.host = s.host and r.port = s.port
                    and r.root_account = any(c.accounts)) as drives,
         (select array_agg(distinct o.name order by o.name) from account a join credential o on o.id = a.credential_id
            join system t on t.id = a.system_id
           where a.name = any(c.accounts) and o.id <> c.id and not o.is_root
             and t.connector = s.connector and t.host = s.host and t.port = s.port) as shared,
         (select jsonb_agg(jsonb_build_object('name', k.name, 'identity', k.identity_id) order by k.name)
            from consumer k where k.credential_id = c.id) as consumers,
         (select array_agg(distinct u.id::text) from exception e, unnest(e.users) as u(id)
           where e.credential_id = c.id and e.closed_at is null) as users
    from credential c join system s on s.id = c.system_id
   where c.identity_id = $1 and not c.is_root and ($2::uuid is null or c.id = $2)
     and exists (select 1 from version v where v.credential_id = c.id and v.state in ('staged', 'current', 'previous'))
   order by c.name`

/** The way of each credential of an identity, or of one of them, by name; `forAll`: ended also for others who use it. */
export async function planFor(
  sql: Sql,
  targets: Pick<Targets, 'connectorFor'>,
  record: IdentityRecord,
  credential: string | null,
  forAll = false,
): Promise<PlannedItem[]> {
  const found = await sql.query<Row>(ROWS, [record.id, credential])
  const consumers = found.flatMap((row) => row.consumers ?? [])
  const named = await idsByName(
    sql,
    consumers.flatMap(({ name, identity }) => (identity === null ? [name] : [])),
  )
  const users = await recordsById(sql, [...consumers.flatMap(({ identity }) => identity ?? []), ...found.flatMap((row) => row.users ?? [])])
  return found.map((row) => {
    const { suspension, canRevoke } = targets.connectorFor(row.connector).describe()
    const chosen = wayFor({
      decommissioned: row.decommissioned,
      canSuspend: suspension !== null,
      canRevoke,
      drives: row.drives,
      sharedWith: row.shared ?? [],
      others: (row.consumers ?? []).flatMap((consumer) => {
        const gone = consumer.identity !== null && users.get(consumer.identity)?.status === 'offboarded'
        return gone || whoseConsumer(consumer, record, named) === record.id ? [] : [consumer.name]
      }),
      forAll,
      // Who left shares nothing any more; who is only suspended may come back.
      users: (row.users ?? []).flatMap((id) => {
        const user = users.get(id)
        return user === undefined || user.id === record.id || user.status === 'offboarded' ? [] : [user.name]
      }),
    })
    const does = chosen.way === 'suspend'
    return {
      ...chosen,
      credential: row.id,
      name: row.name,
      systemId: row.system_id,
      system: row.system,
      accounts: row.accounts,
      suspends: does ? (suspension?.suspends ?? null) : null,
      destroys: does ? (suspension?.destroys ?? null) : null,
    }
  })
}

/**
 * The way of an item that was not touched yet is chosen by what is so now: who shared the account may have gone, or come. One that somebody
 * ordered to be ended for others too stays so: it is the only one that is suspended although it names others.
 */
export async function planAnew(
  targets: Pick<Targets, 'connectorFor'>,
  tx: Tx,
  item: { readonly id: string; readonly identity: string; readonly credential_id: string },
): Promise<void> {
  const record = (await recordsById(tx, [item.identity])).get(item.identity)
  const [kept] = await tx.query<{ forAll: boolean }>(
    `select way = 'suspend' and consumers <> '{}' as "forAll" from closure_item where id = $1`,
    [item.id],
  )
  const [planned] = record === undefined ? [] : await planFor(tx, targets, record, item.credential_id, kept?.forAll === true)
  if (planned === undefined) return
  await tx.query('update closure_item set way = $2, why = $3, consumers = $4 where id = $1', [
    item.id,
    planned.way,
    planned.why,
    planned.consumers,
  ])
}
