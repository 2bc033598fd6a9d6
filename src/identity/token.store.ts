import type { Sql, Tx } from '../store/index.ts'
import type { IdentityKind } from './model.ts'
import type { TokenState } from './token.model.ts'

const TOKEN_LOCK = 7_395_005

/** Who makes or takes away tokens does it one after the other, over all processes. Held to the end of the transaction. */
export async function lockTokens(tx: Tx): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [TOKEN_LOCK])
}

/** SQL that is true of a token `t` that is good. */
export const GOOD = 't.revoked_at is null and (t.expires_at is null or t.expires_at > now())'

/** Good tokens that this identity made, alone or with others, or that are its own. */
export async function countTokensBehind(sql: Sql, identity: string): Promise<number> {
  const [row] = await sql.query<{ count: number }>(
    `select count(*)::int as count from api_token t where ${GOOD} and ($1::uuid = any(t.makers) or t.identity_id = $1::uuid)`,
    [identity],
  )
  return row?.count ?? 0
}
/** Whose it is, for whom it acts and all who made it are active; with the two joins below. */
const STANDS = `(t.identity_id is null or i.status = 'active') and (t.acts_for_id is null or a.status = 'active')
  and not exists (select from unnest(t.makers) m(id) left join identity p on p.id = m.id where p.status is distinct from 'active')`
const JOINS = 'left join identity i on i.id = t.identity_id left join identity a on a.id = t.acts_for_id'
/** Those of an identity, that act for it, or that it made. */
const OF = '(t.identity_id = $1::uuid or t.acts_for_id = $1::uuid or t.makers @> array[$1::uuid])'

export async function hasGoodToken(sql: Sql): Promise<boolean> {
  return (await sql.query(`select t.id from api_token t where ${GOOD} limit 1`)).length > 0
}

/** Somebody took the last way in away on purpose. */
export async function wasForced(sql: Sql): Promise<boolean> {
  return (await sql.query('select id from api_token where forced limit 1')).length > 0
}

export interface NewToken {
  readonly id: string
  readonly name: string
  readonly hashHex: string
  readonly identity: string | null
  readonly follows: boolean
  readonly actsFor: string | null
  readonly scope: readonly string[] | null
  readonly environments: readonly string[] | null
  readonly expiresAt: Date | null
  readonly createdBy: string
  /** Identities that stand behind it; empty: the first token; null: nobody is on record. */
  readonly makers: readonly string[] | null
}

export async function insertToken(tx: Tx, token: NewToken): Promise<void> {
  const { id, name, hashHex, identity, follows, actsFor, scope, environments, expiresAt, createdBy, makers } = token
  await tx.query(
    `insert into api_token (id, name, hash, identity_id, follows_identity, acts_for_id, scope, environments, expires_at, created_by, makers)
     values ($1, $2, decode($3, 'hex'), $4, $5, $6, $7, $8, $9, $10, $11)`,
    [id, name, hashHex, identity, follows, actsFor, scope, environments, expiresAt, createdBy, makers],
  )
}

export interface TokenRow {
  readonly id: string
  readonly name: string
  readonly roles: readonly string[]
  readonly identity: string | null
  readonly kind: IdentityKind | null
  readonly follows: boolean
  readonly acts_for: string | null
  readonly makers: readonly string[] | null
  readonly scope: readonly string[] | null
  readonly environments: readonly string[] | null
}

/**
 * A token that is good at this moment, and so is everybody who stands behind it. Found through the unique index on the hash: what is
 * compared in time that may depend on content is a hash, never the token.
 */
export async function tokenByHash(sql: Sql, hashHex: string): Promise<TokenRow | null> {
  return goodToken(sql, "t.hash = decode($1, 'hex')", hashHex)
}

/** The same by its id: for what a token began and somebody else finishes. */
export async function tokenById(sql: Sql, id: string): Promise<TokenRow | null> {
  return goodToken(sql, 't.id = $1', id)
}

async function goodToken(sql: Sql, which: string, value: string): Promise<TokenRow | null> {
  const [row] = await sql.query<TokenRow>(
    `select t.id, t.name, t.identity_id as identity, i.kind, t.follows_identity as follows, t.acts_for_id as acts_for,
            t.makers, t.scope, t.environments,
            array(select b.role from role_binding b where b.subject_kind = 'token' and b.subject_id = t.id order by b.role) as roles
       from api_token t ${JOINS}
      where ${which} and ${GOOD} and ${STANDS}`,
    [value],
  )
  return row ?? null
}

/** Whose a token is and what its proof is limited to. Throws where it is gone: look it up before. */
export async function tokenLimits(sql: Sql, id: string): Promise<Pick<TokenRow, 'identity' | 'scope' | 'environments'>> {
  const [row] = await sql.query<Pick<TokenRow, 'identity' | 'scope' | 'environments'>>(
    'select identity_id as identity, scope, environments from api_token where id = $1',
    [id],
  )
  if (row === undefined) throw new Error('a token that was found is gone')
  return row
}

/** Hashes of tokens that are good, the newest first. */
export async function validTokens(sql: Sql, limit: number): Promise<string[]> {
  const found = await sql.query<{ hash: string }>(
    `select encode(t.hash, 'hex') as hash from api_token t where ${GOOD} order by t.id desc limit $1`,
    [limit],
  )
  return found.map(({ hash }) => hash)
}

export interface Whole {
  readonly id: string
  readonly name: string
  readonly state: TokenState
  readonly identity: string | null
  readonly identity_name: string | null
  readonly acts_for: string | null
  readonly acts_for_name: string | null
  readonly roles: readonly string[]
  readonly follows: boolean
  readonly scope: readonly string[] | null
  readonly environments: readonly string[] | null
  readonly makers: readonly string[] | null
  /** In the order of `makers`; null for one who is gone. */
  readonly maker_names: readonly (string | null)[] | null
  readonly created_at: Date
  readonly created_by: string
  readonly expires_at: Date | null
  readonly last_used_at: Date | null
  readonly revoked_at: Date | null
  readonly revoke_reason: string | null
  readonly replaced_by: string | null
  readonly proven_dead_at: Date | null
}

const WHOLE = `
  select t.id, t.name, t.identity_id as identity, i.name as identity_name, t.acts_for_id as acts_for, a.name as acts_for_name,
         t.follows_identity as follows, t.scope, t.environments, t.makers,
         (select array_agg(p.name order by m.at) from unnest(t.makers) with ordinality m(id, at) left join identity p on p.id = m.id)
           as maker_names,
         t.created_at, t.created_by, t.expires_at, t.last_used_at, t.revoked_at,
         t.revoke_reason, t.replaced_by, t.proven_dead_at,
         array(select b.role from role_binding b where b.subject_kind = 'token' and b.subject_id = t.id order by b.role) as roles,
         case when t.revoked_at is not null then 'revoked' when t.expires_at <= now() then 'expired'
              when ${STANDS} then 'active' else 'suspended' end as state
    from api_token t ${JOINS}`

export interface TokenFilter {
  readonly after: string | null
  readonly limit: number
  /** True: those that have ended too. */
  readonly ended: boolean
  /** Id of whose they are, of whom they act for, or of who made them. */
  readonly identity: string | null
}

/** Oldest first. */
export async function listTokens(sql: Sql, { after, limit, ended, identity }: TokenFilter): Promise<Whole[]> {
  return sql.query(
    `${WHOLE} where ($1::uuid is null or ${OF}) and ($2 or (${GOOD})) and ($3::uuid is null or t.id > $3) order by t.id limit $4`,
    [identity, ended, after, limit],
  )
}

/** Those of this id or name that are not revoked and have not ended, locked, the newest first. */
export async function lockGood(tx: Tx, nameOrId: string): Promise<Whole[]> {
  await tx.query('select t.id from api_token t where (t.name = $1 or t.id::text = $1) for no key update', [nameOrId])
  return tx.query(`${WHOLE} where (t.name = $1 or t.id::text = $1) and ${GOOD} order by t.id desc`, [nameOrId])
}

/** Those of an identity, that act for it, or that it made, and that are not revoked. */
export async function lockTokensOf(tx: Tx, identity: string): Promise<Whole[]> {
  await tx.query(`select t.id from api_token t where ${OF} for no key update`, [identity])
  return tx.query(`${WHOLE} where ${OF} and t.revoked_at is null order by t.id`, [identity])
}

/** Names of those of these identities that are not active; the id of one that is gone. */
export async function notActive(sql: Sql, ids: readonly string[]): Promise<string[]> {
  const found = await sql.query<{ name: string }>(
    `select coalesce(i.name, m.id::text) as name from unnest($1::uuid[]) m(id) left join identity i on i.id = m.id
      where i.status is distinct from 'active' order by 1`,
    [ids],
  )
  return found.map(({ name }) => name)
}

export interface Unsafe {
  readonly id: string
  readonly name: string
  readonly identity: string | null
  /** Names of makers who are not active; null: it has none on record. */
  readonly makers: readonly string[] | null
  readonly created_at: Date
}

/** Good tokens that nobody on record made and that are nobody's, and those of an active identity that are refused for their makers. */
export async function unsafeTokens(sql: Sql, after: string | null, limit: number): Promise<Unsafe[]> {
  return sql.query(
    `select t.id, t.name, t.identity_id as identity, t.created_at,
            (select array_agg(coalesce(p.name, m.id::text)) from unnest(t.makers) m(id) left join identity p on p.id = m.id
              where p.status is distinct from 'active') as makers
       from api_token t ${JOINS}
      where ${GOOD} and ($1::uuid is null or t.id > $1)
        and ((t.makers is null and t.identity_id is null) or (i.status = 'active' and not (${STANDS}))) order by t.id limit $2`,
    [after, limit],
  )
}

export interface OfProgram {
  readonly id: string
  readonly name: string
  readonly identity: string | null
  readonly roles: readonly string[]
  readonly scope: readonly string[] | null
  /** People among those who made it. */
  readonly people: readonly string[]
  readonly created_at: Date
}

/** Good tokens with roles that a program holds or has made, and that people stand behind. */
export async function tokensOfPrograms(sql: Sql, after: string | null, limit: number): Promise<OfProgram[]> {
  return sql.query(
    `select t.id, t.name, t.identity_id as identity, t.scope, t.created_at, p.people, b.roles
       from api_token t left join identity i on i.id = t.identity_id
       cross join lateral (select array_agg(m.id) filter (where m.kind = 'human') as people, bool_or(m.kind <> 'human') as made
                             from identity m where m.id = any(t.makers)) p
       cross join lateral (select array_agg(b.role order by b.role) as roles from role_binding b
                            where b.subject_kind = 'token' and b.subject_id = t.id) b
      where ${GOOD} and (i.kind <> 'human' or p.made) and p.people is not null and b.roles is not null and ($1::uuid is null or t.id > $1)
      order by t.id limit $2`,
    [after, limit],
  )
}

/** Identities that are gone for good and whose tokens, those that act for them or those that they made, are not revoked. */
export async function goneWithTokens(sql: Sql, limit: number): Promise<string[]> {
  const found = await sql.query<{ id: string }>(
    `select distinct x.id from api_token t
      cross join lateral (values (t.identity_id), (t.acts_for_id) union all select unnest(t.makers)) x(id)
       left join identity i on i.id = x.id
      where t.revoked_at is null and x.id is not null and (i.id is null or i.status = 'offboarded') limit $1`,
    [limit],
  )
  return found.map(({ id }) => id)
}

/** Resolves with the time that all of them have as their end. */
export async function revokeTokens(tx: Tx, ids: readonly string[], by: string, reason: string): Promise<Date> {
  const [row] = await tx.query<{ at: Date }>(
    `update api_token set revoked_at = now(), revoked_by = $2, revoke_reason = $3 where id = any($1::uuid[]) and revoked_at is null
      returning revoked_at as at`,
    [ids, by, reason],
  )
  if (row === undefined) throw new Error('tokens that are locked are gone')
  return row.at
}

/** Marks that the last way in was taken away on purpose. */
export async function markForced(tx: Tx, ids: readonly string[]): Promise<void> {
  await tx.query('update api_token set forced = true where id = any($1::uuid[])', [ids])
}

/** The old text stays good until then, or until its own end if that is sooner. Resolves with that end. */
export async function replaceToken(tx: Tx, id: string, by: string, overlapSeconds: number): Promise<Date> {
  const [row] = await tx.query<{ ends: Date }>(
    `update api_token set replaced_by = $2, expires_at = least(expires_at, now() + make_interval(secs => $3))
      where id = $1 returning expires_at as ends`,
    [id, by, overlapSeconds],
  )
  if (row === undefined) throw new Error('a token that is locked is gone')
  return row.ends
}

export interface Ended {
  readonly id: string
  readonly name: string
  readonly hash: string
  readonly identity: string | null
  readonly revoked: boolean
  readonly replaced_by: string | null
}

/** Ended and not proven dead, locked; those that another process looks at are passed over. */
export async function lockEnded(tx: Tx, limit: number): Promise<Ended[]> {
  return tx.query(
    `select id, name, encode(hash, 'hex') as hash, identity_id as identity, revoked_at is not null as revoked, replaced_by
       from api_token where proven_dead_at is null and (revoked_at is not null or expires_at <= now())
      order by id limit $1 for no key update skip locked`,
    [limit],
  )
}

/** Hash of some token that must be accepted: the one that took its place, else any. */
export async function controlHash(sql: Sql, replacedBy: string | null): Promise<string | null> {
  const [row] = await sql.query<{ hash: string }>(
    `select encode(t.hash, 'hex') as hash from api_token t ${JOINS}
      where ${GOOD} and ${STANDS}
      order by t.id is distinct from $1::uuid, t.id desc limit 1`,
    [replacedBy],
  )
  return row?.hash ?? null
}

/** Resolves with the time of their proof; null for none at all. */
export async function markDead(tx: Tx, ids: readonly string[]): Promise<Date | null> {
  const [row] = await tx.query<{ at: Date }>(
    'update api_token set proven_dead_at = now() where id = any($1::uuid[]) returning proven_dead_at as at',
    [ids],
  )
  return row?.at ?? null
}

/** Times go forward only, to the minute. */
export async function markUsed(sql: Sql, uses: readonly { readonly id: string; readonly at: Date }[]): Promise<void> {
  await sql.query(
    `update api_token t set last_used_at = date_trunc('minute', u.at)
       from jsonb_to_recordset($1::jsonb) as u(id uuid, at timestamptz)
      where t.id = u.id and (t.last_used_at is null or t.last_used_at < date_trunc('minute', u.at))`,
    [JSON.stringify(uses)],
  )
}

export async function expiryOf(sql: Sql, id: string): Promise<Date | null> {
  const [row] = await sql.query<{ expires_at: Date | null }>('select expires_at from api_token where id = $1', [id])
  return row?.expires_at ?? null
}
