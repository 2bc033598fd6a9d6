import type { Json } from '../kernel/index.ts'
import type { Sql } from '../store/index.ts'

type Named = { readonly id: string } & { readonly [fact: string]: Json }

export function codes(sql: Sql): Promise<{ identity: string; hash: string; expires_at: Date }[]> {
  return sql.query("select identity_id as identity, encode(hash, 'hex') as hash, expires_at from enrolment_code order by identity_id")
}

export function scimProviders(sql: Sql): Promise<Named[]> {
  return sql.query('select id, name, tenancy, offboard_after_seconds as "offboardAfterSeconds" from scim_provider order by id')
}

export interface ScimTokenRow {
  readonly id: string
  readonly provider: string
  readonly hash: string
  readonly makers: readonly string[] | null
  readonly expires_at: Date | null
  readonly revoked_at: Date | null
}

export function scimTokens(sql: Sql): Promise<ScimTokenRow[]> {
  return sql.query(
    `select id, provider_id as provider, encode(hash, 'hex') as hash, makers, expires_at, revoked_at
       from scim_token order by created_at, id`,
  )
}

export interface ScimUserRow {
  readonly id: string
  readonly identity: string
  readonly provider: string
  readonly name_key: string
  readonly external_id: string | null
  readonly active: boolean | null
  readonly suspended: boolean
  readonly offboard_at: Date | null
  readonly deleted: boolean
  readonly created_at: Date
  /** What the provider of its row is called in the record. */
  readonly source: string
  /** Each address as it was said, with the microseconds since when, and what it is compared by. */
  readonly emails: readonly (readonly [said: string, micros: number, address: string])[] | null
}

/** Some at a time, by id. */
export function scimUsers(sql: Sql, after: string, limit: number): Promise<ScimUserRow[]> {
  return sql.query(
    `select u.id, u.identity_id as identity, u.provider_id as provider, u.user_name_key as name_key, u.external_id, u.active, u.suspended,
            u.offboard_at, u.deleted_at is not null as deleted, u.created_at, 'scim:' || p.name as source,
            (select jsonb_agg(jsonb_build_array(e.email_key, floor(extract(epoch from e.since) * 1000000), e.address))
               from scim_email e where e.user_id = u.id) as emails
       from scim_user u left join scim_provider p on p.id = u.provider_id where u.id > $1 order by u.id limit $2`,
    [after, limit],
  )
}

/** Groups whose provider is not that of their team. */
export function strayGroups(sql: Sql): Promise<{ id: string; provider: string | null; source: string | null }[]> {
  return sql.query(
    `select g.id, p.name as provider, t.source from scim_group g left join team t on t.id = g.id
       left join scim_provider p on p.id = g.provider_id where 'scim:' || p.name is distinct from t.source order by g.id`,
  )
}

/** Addresses of no user at all. */
export function strayEmails(sql: Sql): Promise<{ user: string }[]> {
  return sql.query(
    `select distinct e.user_id as user from scim_email e
      where not exists (select from scim_user u where u.id = e.user_id) order by 1`,
  )
}

export interface ChangeRow {
  readonly id: number
  readonly identity: string
  readonly change: string
  readonly reason: string
  readonly handled: boolean
}

export function statusChanges(sql: Sql): Promise<ChangeRow[]> {
  return sql.query('select id, identity_id as identity, change, reason, handled_at is not null as handled from identity_change order by id')
}

export function entitlementChanges(
  sql: Sql,
): Promise<{ identity: string; change: 'added' | 'removed'; system: string; account: string; role: string }[]> {
  return sql.query('select identity_id as identity, change, system, account, role from entitlement_change order by id')
}

export function bothHands(sql: Sql): Promise<{ identity: string; reason: string }[]> {
  return sql.query('select identity_id as identity, reason from both_hands order by identity_id')
}

export function formerOwners(sql: Sql): Promise<{ identity: string; person: string; until: Date }[]> {
  return sql.query('select identity_id as identity, person_id as person, until from former_owner order by 1, 2')
}

export interface ProposalRow {
  readonly id: string
  readonly files: Json
  readonly digest: string
  readonly base: string | null
  readonly proposers: readonly string[]
  readonly hands: readonly { readonly kind: string; readonly id: string }[]
}

export function proposals(sql: Sql): Promise<ProposalRow[]> {
  return sql.query(
    `select id, files, digest, base_digest as base, proposers, both_hands as hands from policy_set where state = 'proposed' order by id`,
  )
}
