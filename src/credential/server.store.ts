import type { Sql, Tx } from '../store/index.ts'
import type { StoredServer } from './server.model.ts'

/** What is on record of a system's server, locked. */
export interface ServerRow {
  readonly name: string
  readonly connector: string
  readonly root_account: string
  readonly root_matched: string | null
  readonly server: StoredServer | null
  readonly server_ago: number | null
  /** False: it was met at another address. */
  readonly met_here: boolean
  readonly server_epoch: number
  readonly server_apart: boolean
  readonly place: string
  readonly decommissioned: boolean
}

/** SQL, true of a system by that alias whose server was met at the address that it has now. */
export const metHere = (s: string) => `(${s}.server is not null and ${s}.server_at = ${s}.host || ':' || ${s}.port)`

/** Null if the system is gone. */
export async function lockServer(tx: Tx, systemId: string): Promise<ServerRow | null> {
  const [row] = await tx.query<ServerRow>(
    `select name, connector, root_account, root_matched, server, server_epoch, server_apart, place, ${metHere('s')} as met_here,
            extract(epoch from now() - server_seen_at)::float8 as server_ago, decommissioned_at is not null as decommissioned
       from system s where id = $1 for update`,
    [systemId],
  )
  return row ?? null
}

/** `matched`: the account of root, where it is not the declared one. */
export async function putServer(tx: Tx, systemId: string, server: StoredServer | null, matched: string | null): Promise<void> {
  await tx.query(
    `update system set server = $2::jsonb, server_seen_at = now(), server_at = host || ':' || port, root_matched = $3 where id = $1`,
    [systemId, server && JSON.stringify(server), matched],
  )
}

/** From now on nothing counts that another server answered. */
export async function putAccepted(tx: Tx, systemId: string, epoch: number, apart: boolean): Promise<void> {
  await tx.query('update system set server_epoch = $2, server_apart = $3 where id = $1', [systemId, epoch, apart])
}

/** Another system that holds one of a system's accounts. */
export interface SharedAccount {
  readonly system: string
  readonly server: StoredServer | null
  readonly account: string
  readonly credential: string
}

/** Accounts of this system, as which its root is known too, that systems of the same kind also have; copies left out. */
export async function sharedAccounts(sql: Sql, systemId: string): Promise<SharedAccount[]> {
  return sql.query(
    `with held as (
       select a.system_id, a.name, c.name as credential from account a join credential c on c.id = a.credential_id
       union select s.id, s.root_matched, 'root@' || s.name from system s where s.root_matched is not null)
     select distinct o.name as system, case when ${metHere('o')} then o.server end as server, theirs.name as account, theirs.credential
       from system s join held mine on mine.system_id = s.id
       join held theirs on theirs.name = mine.name and theirs.system_id <> s.id
       join system o on o.id = theirs.system_id
      where s.id = $1 and o.connector = s.connector and not o.server_apart and o.decommissioned_at is null
      order by o.name, theirs.name`,
    [systemId],
  )
}
