/** Which values could authenticate right now, and when each was last tried. */
import type { ProbeOutcome } from '../connectors/contract.ts'
import { append } from '../evidence/index.ts'
import { type IdentityRecord, identityNamed, recordsById, type TokenView, tokensOnRecord } from '../identity/index.ts'
import { type Ctx, pageOfSeen, RekeyError } from '../kernel/index.ts'
import type { Keyring } from '../keys/index.ts'
import type { Allowed } from '../policy/index.ts'
import { open } from '../seal/index.ts'
import type { Sql, Store } from '../store/index.ts'
import type { VersionState } from './model.ts'
import { standingResource } from './resources.ts'
import { TARGET_COLUMNS, type TargetRow, targetOf } from './rotation.store.ts'
import { UNKNOWN_SINCE } from './rotation.unknown.ts'
import { dataKeyBound, type Targets, versionBound } from './targets.ts'

/** Versions that one request tries at most: each is a login. */
export const PROBES_MAX = 100
/** Logins at once. */
const AT_ONCE = 8

/** What API tokens of Rekey itself live on. */
export const OWN_SYSTEM = 'rekey'

/** A version of a credential, or an API token of Rekey, that could authenticate right now. Times are RFC 3339. */
export interface UsableView {
  readonly kind: 'version' | 'token'
  /** Id of the version, or of the token. */
  readonly version: string
  /** Name of the credential, or of the token. */
  readonly credential: string
  /** Null for a token: each has one text. */
  readonly number: number | null
  readonly system: string
  readonly account: string
  /** Null for the root credential of a system. */
  readonly identity: string | null
  readonly identityStatus: IdentityRecord['status'] | null
  readonly owner: string | null
  readonly root: boolean
  /** staged: perhaps installed; current; previous: in its grace period; irrevocable; unprovable: nobody can tell whether it is dead. */
  readonly state: VersionState
  readonly valueHeld: boolean
  /** Since when it exists. */
  readonly since: string
  readonly ageDays: number
  readonly lastProbe: { readonly outcome: ProbeOutcome; readonly code: string; readonly at: string } | null
  /** Since a rotation may have changed what the last probe saw; null: nothing did. */
  readonly unknownSince: string | null
  /** Of a token, to the minute; of versions nobody knows. */
  readonly lastUsedAt: string | null
  /** Of a token: when it ends by itself; null: never, or a version. */
  readonly expiresAt: string | null
}

/** Which to show; all that are given must hold. */
export interface UsableFilter {
  /** Identity by id or name. */
  readonly identity?: string | undefined
  readonly system?: string | undefined
  readonly state?: VersionState | undefined
  readonly olderThanDays?: number | undefined
  /** The id of the last one seen. */
  readonly after?: string | undefined
  readonly limit: number
}

interface Row {
  readonly id: string
  readonly credential_id: string
  readonly credential: string
  readonly number: number
  readonly system: string
  readonly account: string
  readonly identity_id: string | null
  readonly is_root: boolean
  readonly state: VersionState
  readonly held: boolean
  readonly created_at: Date
  readonly age_days: number
  readonly last_probe: UsableView['lastProbe']
  readonly unknown_since: Date | null
}

/**
 * A staged version counts from the moment at which its install is attempted: an answer may have been lost. One whose logins are stopped
 * and seen to be stopped does not count; while they are being stopped it does.
 */
const USABLE = `
    from version v join credential c on c.id = v.credential_id join system s on s.id = c.system_id
   where v.state in ('staged', 'current', 'previous', 'irrevocable', 'unprovable')
     and (v.state <> 'staged' or exists (select 1 from rotation r where r.credential_id = c.id and r.new_version_id = v.id
            and (r.attempt_step is not null or r.installed_at is not null)) or c.is_root)
     and not exists (select 1 from closure_item i where i.credential_id = c.id and v.state in ('staged', 'current', 'previous')
            and i.ended_at is null and i.state in ('suspended', 'destroyed'))`

/**
 * A page of every version that could authenticate right now, root credentials too, and of every API token of Rekey itself that would be
 * accepted, oldest first, without what the asker may not read. `next` is the `after` of the page that follows; see `pageOfSeen`. Throws
 * `not_found` for an identity that does not exist, and for one of which the asker may read nothing.
 */
export async function listUsable(
  sql: Sql,
  ctx: Ctx,
  may: Allowed<'usable:read'>,
  filter: UsableFilter,
): Promise<{ readonly items: UsableView[]; readonly next: string | null }> {
  const of = filter.identity === undefined ? null : await identityNamed(sql, filter.identity)
  const found = await read(sql, ctx, may, filter, of?.id ?? null)
  if (of === null || found.items.length > 0 || may.can(standingResource('credential', of.id, null, of))) return found
  // In the words for one that is not there, unless something of it is theirs to read, on whatever page.
  for (let after: string | undefined; ; ) {
    const { items, next } = await read(sql, ctx, may, { limit: filter.limit, after }, of.id)
    if (items.length > 0) return found
    if (next === null) throw new RekeyError('not_found', `No such identity: ${filter.identity}`, { hint: 'See rekey identity list.' })
    after = next
  }
}

/** A version or a token that the filter lets through; no view: the asker may not read it. */
interface Looked {
  readonly id: string
  readonly view: UsableView | null
}

async function read(sql: Sql, ctx: Ctx, may: Allowed<'usable:read'>, filter: UsableFilter, identity: string | null) {
  const { items, next } = await pageOfSeen<Looked>(
    { after: filter.after ?? null, limit: filter.limit },
    {
      read: (after, limit) => looked(sql, ctx, may, { ...filter, after: after ?? undefined, limit }, identity),
      cursorOf: ({ id }) => id,
      mine: (found) => found.filter(({ view }) => view !== null),
    },
  )
  return { items: items.flatMap(({ view }) => view ?? []), next }
}

/** The next ones, `limit` of them if there are so many. */
async function looked(sql: Sql, ctx: Ctx, may: Allowed<'usable:read'>, filter: UsableFilter, identity: string | null): Promise<Looked[]> {
  const versions = await versionsOf(sql, filter, identity)
  const tokens = await tokensOf(sql, filter, identity)
  const now = ctx.clock.now()
  const ids = [...versions.map((row) => row.identity_id), ...tokens.map((token) => token.identity?.id ?? null)]
  const records = await recordsById(sql, [...new Set(ids.flatMap((id) => id ?? []))])
  const all = [
    ...versions.map((row) => ({ id: row.id, view: versionShown(may, row, records.get(row.identity_id ?? '')) })),
    ...tokens.map((token) => ({ id: token.id, view: tokenShown(may, token, records.get(token.identity?.id ?? ''), { ...filter, now }) })),
  ].sort((a, b) => (a.id < b.id ? -1 : 1))
  return all.slice(0, filter.limit)
}

async function versionsOf(sql: Sql, filter: UsableFilter, identity: string | null): Promise<Row[]> {
  return sql.query<Row>(
    `select v.id, c.id as credential_id, c.name as credential, v.number, s.name as system, v.account, c.identity_id, c.is_root, v.state,
            v.sealed is not null as held,
            v.created_at, floor(extract(epoch from now() - v.created_at) / 86400)::int as age_days, v.last_probe,
            ${UNKNOWN_SINCE} as unknown_since ${USABLE}
        and ($1::uuid is null or c.identity_id = $1) and ($2::text is null or s.name = $2) and ($3::text is null or v.state = $3)
        and ($4::int is null or v.created_at <= now() - make_interval(days => $4)) and ($5::uuid is null or v.id > $5)
      order by v.id limit $6`,
    [identity, filter.system ?? null, filter.state ?? null, filter.olderThanDays ?? null, filter.after ?? null, filter.limit],
  )
}

async function tokensOf(sql: Sql, { system, state, after, limit }: UsableFilter, identity: string | null): Promise<TokenView[]> {
  if (system !== undefined && system !== OWN_SYSTEM) return []
  if (state !== undefined && state !== 'current' && state !== 'previous') return []
  return tokensOnRecord(sql, { ended: false, identity, after: after ?? null, limit })
}

function versionShown(may: Allowed<'usable:read'>, row: Row, record: IdentityRecord | undefined): UsableView | null {
  return may.can(standingResource('credential', row.credential_id, row.system, record)) ? viewOf(row, record) : null
}

/** Null for one that would be refused now, that the filter leaves out, or that the asker may not read. */
function tokenShown(
  may: Allowed<'usable:read'>,
  token: TokenView,
  record: IdentityRecord | undefined,
  filter: UsableFilter & { readonly now: Date },
): UsableView | null {
  const { id, identity, environments } = token
  // Replaced, and good for a while yet: what a version in its grace period is.
  const state = token.replacedBy === null ? 'current' : 'previous'
  const ageDays = Math.floor((filter.now.getTime() - token.createdAt.getTime()) / 86_400_000)
  if (token.state !== 'active' || (filter.state ?? state) !== state || ageDays < (filter.olderThanDays ?? 0)) return null
  const resource = { type: 'token', id, system: OWN_SYSTEM, owner: identity?.id, kind: record?.kind } as const
  if (!(environments ?? [undefined]).every((environment) => may.can({ ...resource, environment }))) return null
  return {
    kind: 'token',
    version: id,
    credential: token.name,
    number: null,
    system: OWN_SYSTEM,
    account: token.name,
    identity: record?.name ?? null,
    identityStatus: record?.status ?? null,
    owner: record?.owner ?? null,
    root: false,
    state,
    valueHeld: false,
    since: token.createdAt.toISOString(),
    ageDays,
    lastProbe: null,
    unknownSince: null,
    lastUsedAt: lastUsed(token)?.toISOString() ?? null,
    expiresAt: token.expiresAt?.toISOString() ?? null,
  }
}

/** Kept to the minute, so it may lie before the token was made: never shown so. */
function lastUsed({ lastUsedAt, createdAt }: TokenView): Date | null {
  return lastUsedAt !== null && lastUsedAt < createdAt ? createdAt : lastUsedAt
}

function viewOf(row: Row, record: IdentityRecord | undefined): UsableView {
  return {
    kind: 'version',
    version: row.id,
    credential: row.credential,
    number: row.number,
    system: row.system,
    account: row.account,
    identity: record?.name ?? null,
    identityStatus: record?.status ?? null,
    owner: record?.owner ?? null,
    root: row.is_root,
    state: row.state,
    valueHeld: row.held,
    since: row.created_at.toISOString(),
    ageDays: row.age_days,
    lastProbe: row.last_probe && { outcome: row.last_probe.outcome, code: row.last_probe.code, at: row.last_probe.at },
    unknownSince: row.unknown_since?.toISOString() ?? null,
    lastUsedAt: null,
    expiresAt: null,
  }
}

interface ProbeRow extends TargetRow {
  readonly id: string
  readonly number: number
  readonly account: string
  readonly sealed: Uint8Array
  readonly credential_id: string
  readonly credential: string
  readonly identity_id: string | null
  readonly kek_id: string
  readonly wrapped_key: Uint8Array
}

/** What trying needs of the process. */
export interface ProbeParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly targets: Targets
}

/**
 * Logs in once with each of these versions, as a consumer would, and keeps the answers (`version.probed`). One whose value is not held, or
 * that could not authenticate anyway, that is a token of Rekey, or that the asker may not read, is passed over. Changes nothing on any
 * system. Throws `bad_input` for none or too many.
 */
export async function probeUsable(parts: ProbeParts, ctx: Ctx, may: Allowed<'usable:read'>, versions: readonly string[]): Promise<number> {
  if (versions.length === 0) throw new RekeyError('bad_input', 'No version is named.')
  if (versions.length > PROBES_MAX) throw new RekeyError('bad_input', `At most ${PROBES_MAX} versions are tried at once.`)
  const found = await parts.store.query<ProbeRow>(
    `select v.id, v.number, v.account, v.sealed, c.id as credential_id, c.name as credential, c.identity_id, c.kek_id, c.wrapped_key,
            ${TARGET_COLUMNS}
       from version v join credential c on c.id = v.credential_id join system s on s.id = c.system_id
       join credential rc on rc.system_id = s.id and rc.is_root
      where v.id = any($1::uuid[]) and v.sealed is not null and s.decommissioned_at is null
        and v.state in ('staged', 'current', 'previous', 'irrevocable', 'unprovable')`,
    [versions],
  )
  const records = await recordsById(parts.store, [...new Set(found.flatMap((row) => row.identity_id ?? []))])
  const rows = found.filter((row) =>
    may.can(standingResource('credential', row.credential_id, row.system_name, records.get(row.identity_id ?? ''))),
  )
  for (let at = 0; at < rows.length; at += AT_ONCE) {
    await Promise.all(rows.slice(at, at + AT_ONCE).map((row) => probeOne(parts, ctx, row)))
  }
  return rows.length
}

async function probeOne({ store, keyring, targets }: ProbeParts, ctx: Ctx, row: ProbeRow): Promise<void> {
  const key = await keyring.unwrap(store, row.kek_id, row.wrapped_key, dataKeyBound(row.credential_id))
  const { system, root } = targetOf(row)
  const target = await targets.of(store, system, root)
  const at = ctx.clock.now()
  const { outcome, code } = await target.probe(ctx, row.account, open(key, row.sealed, versionBound(row.credential_id, row.id)))
  await store.inTx(async (tx) => {
    await tx.query('update version set last_probe = $2::jsonb where id = $1', [
      row.id,
      JSON.stringify({ outcome, code, at: at.toISOString() }),
    ])
    const links = { credential: row.credential_id, version: row.id, system: row.system_id }
    const data = { version: row.number, outcome, code }
    await append(tx, ctx, [{ log: 'credential', type: 'version.probed', subject: row.credential, links, data, at }])
  })
}
