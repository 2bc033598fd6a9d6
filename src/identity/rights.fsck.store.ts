import type { Json } from '../kernel/index.ts'
import type { PolicyFile } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import type { ProvenAal } from './session.model.ts'

export interface SessionRow {
  readonly id: string
  readonly identity: string
  readonly aal: ProvenAal
  readonly authenticated_at: Date
  readonly ends_at: Date
  readonly hash: string
  readonly idle_seconds: number
  /** Its last use is said to be after now. */
  readonly rests_until_later: boolean
  readonly method: string
  readonly provider: string | null
  readonly passkey: string | null
}

/** Sessions that would be taken for good now. */
export function liveSessions(sql: Sql): Promise<SessionRow[]> {
  return sql.query(
    `select id, identity_id as identity, aal, authenticated_at, ends_at, encode(hash, 'hex') as hash, idle_seconds,
            seen_at > now() + interval '1 minute' as rests_until_later, method, provider_id as provider, passkey_id as passkey
       from session
      where ended_at is null and ends_at > now() order by id`,
  )
}

export function bindings(sql: Sql): Promise<{ role: string; kind: string; subject: string }[]> {
  return sql.query('select role, subject_kind as kind, subject_id as subject from role_binding order by id')
}

export function passkeys(
  sql: Sql,
): Promise<
  { id: string; identity: string; name: string; device_bound: boolean; credential_id: string; public_key: string; came_by: string | null }[]
> {
  return sql.query(
    `select id, identity_id as identity, name, device_bound, credential_id, encode(public_key, 'hex') as public_key, came_by
       from passkey order by id`,
  )
}

type Named = { readonly id: string } & { readonly [fact: string]: Json }

export function loginProviders(sql: Sql): Promise<{ id: string; facts: { readonly [fact: string]: Json }; sealed: Uint8Array | null }[]> {
  return sql.query(
    `select id, sealed,
            jsonb_build_object('name', name, 'issuer', issuer, 'clientId', client_id, 'auth', auth, 'scopes', scopes, 'acr', acr,
                               'amr', amr, 'aal', aal, 'maxAgeSeconds', max_age_seconds, 'linkByEmail', link_by_email,
                               'makers', to_jsonb(makers), 'confirmed', to_jsonb(confirmed)) as facts
       from login_provider order by id`,
  )
}

export function issuers(sql: Sql): Promise<Named[]> {
  return sql.query(
    `select id, name, type, origin, audience, algorithms, max_token_age_seconds as "maxTokenAgeSeconds",
            clock_skew_seconds as "clockSkewSeconds", keys_max_age_seconds as "keysMaxAgeSeconds", replay, makers, confirmed,
            jsonb_build_object('from', keys_from) || case when jwks is null then '{}' else jsonb_build_object('jwks', jwks) end
              || case when jwks_url is null then '{}' else jsonb_build_object('url', jwks_url) end as keys
       from issuer order by id`,
  )
}

export function claimRules(sql: Sql): Promise<Named[]> {
  return sql.query(
    `select id, issuer_id as issuer, identity_id as identity, part, claims, prefixes, hardware, scope, environments,
            acts_for_id as "actsFor", makers
       from issuer_rule order by id`,
  )
}

export function approvalRules(sql: Sql): Promise<({ readonly action: string } & { readonly [fact: string]: Json })[]> {
  return sql.query('select action, factors, expires_seconds as "expiresSeconds" from approval_rule order by action')
}

export function pairs(sql: Sql): Promise<{ low: string; high: string; same: boolean }[]> {
  return sql.query('select low_id as low, high_id as high, same from identity_pair order by low_id, high_id')
}

export function activePolicies(sql: Sql): Promise<{ id: string; files: readonly PolicyFile[] }[]> {
  return sql.query("select id, files from policy_set where state = 'active'")
}

export interface ApprovalRow {
  readonly id: string
  readonly action: string
  readonly subject: string
  readonly what: string
  readonly words: string
  readonly digest: string
  readonly state: string
  readonly excluded: readonly string[]
  readonly about: readonly string[]
  readonly requester: Json
  readonly expires_at: Date
  readonly bypassed_by: string | null
  readonly bypass_reason: string | null
  readonly factors: Json
  readonly approvers: readonly string[] | null
  /** Each approver with the factor it stands under. */
  readonly places: readonly [number, string][] | null
  /** Decisions that were not taken back: who, what, level, passkey. */
  readonly live: readonly [string, string, number, string | null][] | null
}

export function approvals(sql: Sql): Promise<ApprovalRow[]> {
  return sql.query(
    `select a.id, a.action, a.subject, a.what, a.words, a.digest, a.state, a.excluded, a.about, a.expires_at,
            a.bypassed_by, a.bypass_reason,
            jsonb_build_object('kind', a.requester_kind, 'id', a.requester_id, 'identity', a.requester_identity) as requester,
            (select jsonb_agg(jsonb_build_object('team', f.team_id, 'count', f.count, 'aal', f.aal, 'passkey', f.passkey)
                              order by f.position)
               from approval_factor f where f.approval_id = a.id) as factors,
            (select jsonb_agg(distinct p.identity_id::text order by p.identity_id::text) from approval_approver p
              where p.approval_id = a.id) as approvers,
            (select jsonb_agg(jsonb_build_array(p.position, p.identity_id)) from approval_approver p
              where p.approval_id = a.id) as places,
            (select jsonb_agg(jsonb_build_array(d.identity_id, d.decision, d.aal, d.passkey)) from approval_decision d
              where d.approval_id = a.id and d.taken_back_at is null) as live
       from approval a order by a.id`,
  )
}
