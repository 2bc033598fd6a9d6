import type { Address, Strategy } from '../connectors/contract.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { FleetConsumer, FleetSystem } from './fleet.model.ts'
import { ACCOUNT_ABSENT } from './rotation.model.ts'
import type { StoredServer } from './server.model.ts'
import { metHere } from './server.store.ts'

const INVENTORY_LOCK = 7_395_006

/** States in which a version could still authenticate. `staged` counts: its install may have been cut off before it was recorded. */
export const ALIVE = "('staged', 'current', 'previous', 'irrevocable')"

/** One process at a time changes the inventory. Held to the end of the transaction. */
export async function lockInventory(tx: Tx): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [INVENTORY_LOCK])
}

/** A system as it is stored. */
export interface SystemRow {
  readonly id: string
  readonly name: string
  readonly connector: string
  readonly host: string
  readonly port: number
  readonly database: string | null
  readonly tls: Address['tls']
  readonly ca: string | null
  readonly ca_file: string | null
  readonly root_account: string
  readonly concurrent: number
  readonly decommissioned: boolean
  /** Which server it is; null: it was not met yet. */
  readonly server: StoredServer | null
  /** False: it was met at another address. */
  readonly met_here: boolean
  readonly epoch: number
  /** By a human's word a copy of another. */
  readonly apart: boolean
  /** As which account the server takes root, where that is not the declared one. */
  readonly root_matched: string | null
}

export async function allSystems(sql: Sql): Promise<SystemRow[]> {
  return sql.query(`select id, name, connector, host, port, database, tls, ca, ca_file, root_account, concurrent,
            decommissioned_at is not null as decommissioned, server, ${metHere('s')} as met_here, server_epoch as epoch,
            server_apart as apart, root_matched from system s`)
}

/** A credential as it is stored, roots left out. */
export interface CredentialRow {
  readonly id: string
  readonly name: string
  readonly system: string
  readonly identity_id: string
  readonly strategy: Strategy
  readonly accounts: readonly string[]
  readonly every_seconds: number | null
  readonly grace_seconds: number
  readonly live: boolean
  /** Accounts that must stay: a value may be accepted there, or was installed there; all of them while a rotation is under way. */
  readonly held: readonly string[]
}

export async function allCredentials(sql: Sql): Promise<CredentialRow[]> {
  return sql.query(
    `select c.id, c.name, s.name as system, c.identity_id, c.strategy, c.accounts, c.every_seconds, c.grace_seconds,
            exists (select 1 from version v where v.credential_id = c.id and v.state in ${ALIVE}) as live,
            case when exists (select 1 from rotation r where r.credential_id = c.id and r.ended_at is null) then c.accounts
                 else array(select distinct v.account from version v where v.credential_id = c.id and (v.installed_at is not null
                   or v.state in ${ALIVE} and not coalesce(v.last_probe ->> 'code' = '${ACCOUNT_ABSENT}'
                     and v.last_probe ->> 'where' = s.place, false))) end as held
       from credential c join system s on s.id = c.system_id where not c.is_root`,
  )
}

export interface ConsumerRow {
  readonly credential_id: string
  readonly name: string
  readonly file_path: string | null
  readonly file_key: string | null
  readonly activation: FleetConsumer['activation']
  /** Whose the file says it is; null: it says nothing. */
  readonly identity_id: string | null
}

export async function allConsumers(sql: Sql): Promise<ConsumerRow[]> {
  return sql.query('select credential_id, name, file_path, file_key, activation, identity_id from consumer order by name')
}

/** The columns of a system that a file declares, and its authority's text. */
export function systemColumns(id: string, { name, connector, address, root, limits }: FleetSystem, ca: string | null): SystemRow {
  const { host, port, database, tls, caFile } = address
  return {
    id,
    name,
    connector,
    host,
    port,
    database,
    tls,
    ca,
    ca_file: caFile,
    root_account: root.account,
    concurrent: limits.concurrent,
    decommissioned: false,
    server: null,
    met_here: false,
    epoch: 0,
    apart: false,
    root_matched: null,
  }
}

const SYSTEM = `id uuid, name text, connector text, host text, port int, database text, tls text, ca text, ca_file text, root_account text,
  concurrent int`

export async function insertSystems(tx: Tx, systems: readonly SystemRow[]): Promise<void> {
  if (systems.length === 0) return
  await tx.query(
    `insert into system (id, name, connector, host, port, database, tls, ca, ca_file, root_account, concurrent)
     select id, name, connector, host, port, database, tls, ca, ca_file, root_account, concurrent
       from jsonb_to_recordset($1::jsonb) as i(${SYSTEM})`,
    [JSON.stringify(systems)],
  )
}

export async function updateSystems(tx: Tx, systems: readonly SystemRow[]): Promise<void> {
  if (systems.length === 0) return
  await tx.query(
    `update system s set server = case when s.connector = i.connector then s.server end,
            root_matched = case when s.connector = i.connector and s.root_account = i.root_account then s.root_matched end,
            connector = i.connector, host = i.host, port = i.port, database = i.database, tls = i.tls, ca = i.ca,
            ca_file = i.ca_file, root_account = i.root_account, concurrent = i.concurrent
       from jsonb_to_recordset($1::jsonb) as i(${SYSTEM}) where s.id = i.id`,
    [JSON.stringify(systems)],
  )
}

/** A system's root credential, locked, with what an exchange of its account needs. */
export interface RootRow {
  readonly id: string
  readonly system_id: string
  readonly kek_id: string
  readonly wrapped_key: Uint8Array
  readonly last_number: number
  readonly accounts: readonly string[]
  readonly strategy: Strategy
  /** True if the value in use now came from a declaration: then whoever declared it has it too. */
  readonly declared: boolean
  /** True while a rotation of it is under way. */
  readonly rotating: boolean
}

/** In two statements: one that waits for a lock does not see what came to other tables meanwhile. */
export async function lockRoots(tx: Tx, systemIds: readonly string[]): Promise<RootRow[]> {
  await tx.query('select id from credential where system_id = any($1::uuid[]) and is_root order by id for update', [systemIds])
  return tx.query(
    `select c.id, c.system_id, c.kek_id, c.wrapped_key, c.accounts, c.strategy,
            (select max(v.number) from version v where v.credential_id = c.id) as last_number,
            exists (select 1 from version v where v.credential_id = c.id and v.state = 'current' and v.installed_at is null) as declared,
            exists (select 1 from rotation r where r.credential_id = c.id and r.ended_at is null) as rotating
       from credential c where c.system_id = any($1::uuid[]) and c.is_root order by c.id`,
    [systemIds],
  )
}

/**
 * Gives root credentials another account. The value on the account before stays accepted there and Rekey will not touch it again:
 * `irrevocable` is what it is until a human takes it away.
 */
export async function moveRoots(tx: Tx, roots: readonly { id: string; account: string; strategy: Strategy }[]): Promise<void> {
  const ids = roots.map(({ id }) => id)
  await tx.query(
    `update credential c set accounts = array[i.account], strategy = i.strategy
       from jsonb_to_recordset($1::jsonb) as i(id uuid, account text, strategy text) where c.id = i.id`,
    [JSON.stringify(roots)],
  )
  await tx.query('delete from account where credential_id = any($1::uuid[])', [ids])
  await insertAccounts(tx, ids)
  await tx.query("update version set state = 'irrevocable' where credential_id = any($1::uuid[]) and state = 'current'", [ids])
}

export interface NewCredential {
  readonly id: string
  readonly name: string
  readonly system: string
  readonly identity: string | null
  readonly root: boolean
  readonly strategy: Strategy
  readonly accounts: readonly string[]
  readonly every: number | null
  readonly grace: number
  readonly kek: string
  readonly wrapped: Uint8Array
}

const hex = (bytes: Uint8Array | null) => bytes && `\\x${Buffer.from(bytes).toString('hex')}`

export async function insertCredentials(tx: Tx, credentials: readonly NewCredential[]): Promise<void> {
  if (credentials.length === 0) return
  await tx.query(
    `insert into credential (id, name, system_id, identity_id, is_root, strategy, accounts, every_seconds, grace_seconds, kek_id,
                             wrapped_key, next_rotation_at)
     select id, name, system, identity, root, strategy, accounts, every, grace, kek, wrapped, now() + make_interval(secs => every)
       from jsonb_to_recordset($1::jsonb) as i(id uuid, name text, system uuid, identity uuid, root boolean, strategy text, accounts text[],
            every bigint, grace bigint, kek uuid, wrapped bytea)`,
    [JSON.stringify(credentials.map((row) => ({ ...row, wrapped: hex(row.wrapped) })))],
  )
  await insertAccounts(
    tx,
    credentials.map(({ id }) => id),
  )
}

async function insertAccounts(tx: Tx, credentialIds: readonly string[]): Promise<void> {
  await tx.query(
    `insert into account (system_id, name, credential_id)
     select c.system_id, a.name, c.id from credential c cross join lateral unnest(c.accounts) as a(name) where c.id = any($1::uuid[])`,
    [credentialIds],
  )
}

export interface NewVersion {
  readonly id: string
  readonly credential: string
  readonly number: number
  readonly account: string
  readonly sealed: Uint8Array | null
  readonly fingerprint: string | null
}

/** Declared versions: `current`, with no time of installation, since Rekey did not install them. */
export async function insertDeclared(tx: Tx, versions: readonly NewVersion[]): Promise<void> {
  if (versions.length === 0) return
  await tx.query(
    `insert into version (id, credential_id, number, account, state, sealed, fingerprint)
     select id, credential, number, account, 'current', sealed, fingerprint
       from jsonb_to_recordset($1::jsonb) as i(id uuid, credential uuid, number int, account text, sealed bytea, fingerprint text)`,
    [JSON.stringify(versions.map((row) => ({ ...row, sealed: hex(row.sealed) })))],
  )
}

/** What may change in a credential that is alive. The next rotation is counted from now if, and only if, the schedule changed. */
export async function updateCredentials(
  tx: Tx,
  credentials: readonly { id: string; identity: string; every: number | null; grace: number }[],
): Promise<void> {
  if (credentials.length === 0) return
  await tx.query(
    `update credential c set identity_id = i.identity, every_seconds = i.every, grace_seconds = i.grace,
            next_rotation_at = case when c.every_seconds is not distinct from i.every then c.next_rotation_at
                                    else now() + make_interval(secs => i.every) end
       from jsonb_to_recordset($1::jsonb) as i(id uuid, identity uuid, every bigint, grace bigint) where c.id = i.id`,
    [JSON.stringify(credentials)],
  )
}

export interface NewConsumer extends ConsumerRow {
  readonly id: string
}

/** Adds consumers, or changes those that the credential has by that name. */
export async function putConsumers(tx: Tx, consumers: readonly NewConsumer[]): Promise<void> {
  if (consumers.length === 0) return
  await tx.query(
    `insert into consumer (id, credential_id, name, file_path, file_key, activation, identity_id)
     select id, credential_id, name, file_path, file_key, activation, identity_id
       from jsonb_to_recordset($1::jsonb)
         as i(id uuid, credential_id uuid, name text, file_path text, file_key text, activation text, identity_id uuid)
     on conflict (credential_id, name) do update
        set file_path = excluded.file_path, file_key = excluded.file_key, activation = excluded.activation,
            identity_id = excluded.identity_id`,
    [JSON.stringify(consumers)],
  )
}

/**
 * Gives credentials other accounts. A version in use whose account goes (it does not exist, see `held`) is taken to be that of the
 * first account, and was not tried there yet.
 */
export async function renameAccounts(tx: Tx, credentials: readonly { id: string; accounts: readonly string[] }[]): Promise<void> {
  if (credentials.length === 0) return
  const ids = credentials.map(({ id }) => id)
  await tx.query(
    `update credential c set accounts = i.accounts
       from jsonb_to_recordset($1::jsonb) as i(id uuid, accounts text[]) where c.id = i.id`,
    [JSON.stringify(credentials)],
  )
  await tx.query('delete from account where credential_id = any($1::uuid[])', [ids])
  await insertAccounts(tx, ids)
  await tx.query(
    `update version v set account = c.accounts[1], last_probe = null
       from credential c where c.id = v.credential_id and c.id = any($1::uuid[]) and v.state = 'current' and v.account <> all(c.accounts)`,
    [ids],
  )
}
