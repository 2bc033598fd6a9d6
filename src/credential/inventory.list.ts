import { type Account, type Address, isNoAccount, type Strategy, type Target } from '../connectors/contract.ts'
import { countIdentities, identitiesById, idsByName } from '../identity/index.ts'
import { type Ctx, LIMITS, RekeyError } from '../kernel/index.ts'
import type { Allowed } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { whoseConsumer } from './consumer.whose.ts'
import { ALIVE, type ConsumerRow } from './inventory.store.ts'
import { systemForWork } from './inventory.system.ts'
import type { CredentialView, SystemView, VersionView } from './model.ts'
import { requireSystem } from './resources.ts'
import type { State } from './rotation.model.ts'
import type { RotationParts } from './rotation.run.ts'
import { addressOf } from './rotation.store.ts'
import { UNKNOWN_SINCE } from './rotation.unknown.ts'
import type { ServerView } from './server.model.ts'

/** A consumer as it is listed. */
export interface ConsumerView {
  readonly name: string
  readonly file: { readonly path: string; readonly key: string | null } | null
  readonly activation: ConsumerRow['activation']
  /** Name of the identity whose it is; null: nobody's that is known. */
  readonly identity: string | null
  /** What says so: the fleet file, or its name. */
  readonly identityBy: 'file' | 'name' | null
}

/** How much there is, for the status page. Rotations that are blocked count as live too. */
export interface InventoryCounts {
  readonly systems: number
  readonly identities: number
  /** Without the root credentials of systems. */
  readonly credentials: number
  readonly liveRotations: number
  readonly blocked: number
  /** Systems that were given up. */
  readonly decommissioned: number
  /** Versions of which nobody can prove whether they are dead. */
  readonly notProvable: number
}

/** How long a step may be due, with no worker holding any claim, before it is said that no worker runs; a worker looks every second. */
const UNCLAIMED_MS = 10_000

const SYSTEM = 's.id, s.name, s.connector, s.host, s.port, s.database, s.tls, s.ca, s.root_account, s.concurrent'

interface SystemColumns {
  id: string
  name: string
  connector: string
  host: string
  port: number
  database: string | null
  tls: Address['tls']
  ca: string | null
  root_account: string
  concurrent: number
}

/** Every system, by name. */
export async function listSystems(sql: Sql): Promise<SystemView[]> {
  const rows = await sql.query<SystemColumns & { credentials: number; decommissioned_at: Date | null; server: ServerView }>(
    `select ${SYSTEM}, s.decommissioned_at, s.server -> 'facts' as server,
            (select count(*)::int from credential c where c.system_id = s.id and not c.is_root) as credentials
       from system s order by s.name collate "C"`,
  )
  return rows.map((row) => ({
    name: row.name,
    connector: row.connector,
    address: { ...addressOf(row), ca: row.ca !== null },
    rootAccount: row.root_account,
    concurrent: row.concurrent,
    credentials: row.credentials,
    decommissionedAt: row.decommissioned_at?.toISOString() ?? null,
    server: row.server,
  }))
}

const CREDENTIAL = `
  select c.id, c.name, s.name as system, c.identity_id, c.is_root, c.strategy, c.accounts, c.every_seconds, c.grace_seconds,
         c.next_rotation_at,
         v.number as current_number, v.sealed is not null as current_known,
         (select count(*)::int from version a where a.credential_id = c.id and a.state in ${ALIVE}) as alive,
         r.id as rotation_id, r.state as rotation_state, r.problem ->> 'reason' as rotation_reason
    from credential c
    join system s on s.id = c.system_id
    left join version v on v.credential_id = c.id and v.state = 'current'
    left join rotation r on r.credential_id = c.id and r.ended_at is null`

interface CredentialColumns {
  id: string
  name: string
  system: string
  identity_id: string | null
  is_root: boolean
  strategy: Strategy
  accounts: string[]
  every_seconds: number | null
  grace_seconds: number
  next_rotation_at: Date | null
  current_number: number | null
  current_known: boolean
  alive: number
  rotation_id: string | null
  rotation_state: State | null
  rotation_reason: string | null
}

/** Names of owners come from the identity area, by id, not by a join into its table. */
async function credentialViews(sql: Sql, rows: readonly CredentialColumns[]): Promise<CredentialView[]> {
  const identities = await identitiesById(sql, [...new Set(rows.flatMap((row) => row.identity_id ?? []))])
  return rows.map((row) => {
    const identity = row.identity_id === null ? undefined : identities.get(row.identity_id)
    return {
      id: row.id,
      name: row.name,
      system: row.system,
      identity: identity?.name ?? null,
      owner: identity?.owner ?? null,
      purpose: identity?.purpose ?? null,
      root: row.is_root,
      strategy: row.strategy,
      accounts: row.accounts,
      everySeconds: row.every_seconds,
      graceSeconds: row.grace_seconds,
      currentVersion: row.current_number,
      currentKnown: row.current_known,
      alive: row.alive,
      nextRotationAt: row.next_rotation_at?.toISOString() ?? null,
      rotation: rotationOf(row),
    }
  })
}

function rotationOf({ rotation_id: id, rotation_state: state, rotation_reason: reason }: CredentialColumns): CredentialView['rotation'] {
  return id === null || state === null ? null : { id, state, reason }
}

/** Which credentials a page shows. */
export interface CredentialFilter {
  readonly system?: string
  /** Id of an identity. */
  readonly identity?: string
  /** Cursor: the name of the last one seen. */
  readonly after?: string
  /** At most `LIMITS.pageMax`. */
  readonly limit: number
}

/** A page of credentials, roots included, by name in the database's order. Empty for a system or identity that does not exist. */
export async function listCredentials(sql: Sql, filter: CredentialFilter): Promise<CredentialView[]> {
  const limit = Math.max(1, Math.min(filter.limit, LIMITS.pageMax))
  const rows = await sql.query<CredentialColumns>(
    `${CREDENTIAL}
      where ($1::text is null or s.name = $1) and ($2::text is null or c.name > $2) and ($4::uuid is null or c.identity_id = $4)
      order by c.name limit $3`,
    [filter.system ?? null, filter.after ?? null, limit, filter.identity ?? null],
  )
  return credentialViews(sql, rows)
}

/** One credential by name; null if there is none. */
export async function findCredential(sql: Sql, name: string): Promise<CredentialView | null> {
  const [view] = await credentialViews(sql, await sql.query<CredentialColumns>(`${CREDENTIAL} where c.name = $1`, [name]))
  return view ?? null
}

interface VersionColumns {
  number: number
  account: string
  state: VersionView['state']
  held: boolean
  installed_at: Date | null
  revoked_at: Date | null
  effective_dead_at: Date | null
  proved_dead_at: Date | null
  shredded_at: Date | null
  last_probe: VersionView['lastProbe']
  unknown_since: Date | null
}

/** The versions of a credential, newest first. */
export async function listVersions(sql: Sql, credentialId: string): Promise<VersionView[]> {
  const rows = await sql.query<VersionColumns>(
    `select v.number, v.account, v.state, v.sealed is not null as held, v.installed_at, v.revoked_at, v.effective_dead_at,
            v.proved_dead_at, v.shredded_at, v.last_probe, ${UNKNOWN_SINCE} as unknown_since
       from version v join credential c on c.id = v.credential_id where c.id = $1 order by v.number desc`,
    [credentialId],
  )
  const at = (date: Date | null) => date?.toISOString() ?? null
  return rows.map((row) => ({
    number: row.number,
    account: row.account,
    state: row.state,
    valueHeld: row.held,
    installedAt: at(row.installed_at),
    revokedAt: at(row.revoked_at),
    effectiveDeadAt: at(row.effective_dead_at),
    provedDeadAt: at(row.proved_dead_at),
    shreddedAt: at(row.shredded_at),
    lastProbe: row.last_probe && { outcome: row.last_probe.outcome, at: row.last_probe.at },
    unknownSince: at(row.unknown_since),
  }))
}

/** The consumers of a credential, by name, each with whose it is. */
export async function listConsumers(sql: Sql, credentialId: string): Promise<ConsumerView[]> {
  const rows = await sql.query<Omit<ConsumerRow, 'credential_id'> & { holder_id: string | null }>(
    `select k.name, k.file_path, k.file_key, k.activation, k.identity_id, c.identity_id as holder_id
       from consumer k join credential c on c.id = k.credential_id where c.id = $1 order by k.name collate "C"`,
    [credentialId],
  )
  const named = await idsByName(
    sql,
    rows.flatMap(({ name, identity_id: id }) => (id === null ? [name] : [])),
  )
  const ids = rows.flatMap(({ identity_id, holder_id }) => [identity_id ?? [], holder_id ?? []].flat())
  const known = await identitiesById(sql, [...new Set([...ids, ...named.values()])])
  return rows.map(({ name, file_path: path, file_key: key, activation, identity_id, holder_id }) => {
    const whose = whoseConsumer({ name, identity: identity_id }, known.get(holder_id ?? ''), named)
    const identity = known.get(whose ?? '')?.name ?? null
    const identityBy = identity === null ? null : identity_id === null ? 'name' : 'file'
    return { name, file: path === null ? null : { path, key }, activation, identity, identityBy }
  })
}

/**
 * The accounts that exist on a system and are not in the inventory, by name. Throws `not_found`, or a `target_*` error if the system
 * does not answer or does not accept the root credential.
 */
export async function discoverAccounts(
  parts: Pick<RotationParts, 'store' | 'targets'>,
  ctx: Ctx,
  may: Allowed<'system:discover'>,
  name: string,
): Promise<Account[]> {
  requireSystem(may, name)
  const { system, root } = await systemForWork(parts.store, name)
  const target = await parts.targets.of(parts.store, system, root)
  const accounts = await target.discover(ctx)
  const known = await parts.store.query<{ name: string }>('select name from account where system_id = $1', [system.id])
  const names = new Set(known.map((row) => row.name))
  return accounts.filter((account) => !names.has(account.name)).sort((a, b) => (a.name < b.name ? -1 : 1))
}

/**
 * What about a system will keep rotations from working, as far as its connector can tell. Throws `not_found`. A system that does not
 * let itself be asked is told of here too: `discoverAccounts` has its own errors.
 */
export async function systemWarnings(
  parts: Pick<RotationParts, 'store' | 'targets'>,
  ctx: Ctx,
  may: Allowed<'system:discover'>,
  name: string,
): Promise<readonly string[]> {
  requireSystem(may, name)
  const { system, root } = await systemForWork(parts.store, name)
  try {
    const target = await parts.targets.of(parts.store, system, root)
    return [...((await target.warnings?.(ctx)) ?? []), ...(await absentAccounts(parts, ctx, system.id, target))]
  } catch (error) {
    if (!(error instanceof RekeyError) || !error.code.startsWith('target_')) throw error
    return [`Whether rotations can work could not be asked: ${error.message}`]
  }
}

/** Declared accounts of which the system itself says that they do not exist: mistyped, or gone. */
async function absentAccounts(parts: Pick<RotationParts, 'store'>, ctx: Ctx, systemId: string, target: Target): Promise<string[]> {
  const there = new Set((await target.discover(ctx)).map(({ name }) => name))
  const declared = await parts.store.query<{ name: string }>('select name from account where system_id = $1 order by name', [systemId])
  const warnings: string[] = []
  for (const { name } of declared) {
    // Not in the list may only mean that the system spells it otherwise.
    const absent = !there.has(name) && (await target.listGrants(ctx, name).then(() => false, isNoAccount))
    if (absent) warnings.push(`The account ${name} is declared and does not exist on the system.`)
  }
  return warnings
}

/** Counts for the status page. */
export async function countInventory(sql: Sql): Promise<InventoryCounts> {
  const [row] = await sql.query<Omit<InventoryCounts, 'identities'>>(
    `select (select count(*)::int from system) as systems,
            (select count(*)::int from credential where not is_root) as credentials,
            (select count(*)::int from rotation where ended_at is null) as "liveRotations",
            (select count(*)::int from rotation where state = 'blocked') as blocked,
            (select count(*)::int from system where decommissioned_at is not null) as decommissioned,
            (select count(*)::int from version where state = 'unprovable') as "notProvable"`,
  )
  const identities = await countIdentities(sql)
  return { systems: 0, credentials: 0, liveRotations: 0, blocked: 0, decommissioned: 0, notProvable: 0, ...row, identities }
}

/**
 * Since when a rotation's next step is due that nobody takes, while nobody holds any: then no worker runs, or none reaches the database.
 * `null` if there is none.
 */
export async function unclaimedSince(sql: Sql): Promise<string | null> {
  const [row] = await sql.query<{ since: Date | null }>(
    `select min(due_at) as since from rotation
      where due_at <= now() - make_interval(secs => $1) and not exists (select 1 from rotation where lease_until > now())`,
    [UNCLAIMED_MS / 1_000],
  )
  return row?.since?.toISOString() ?? null
}
