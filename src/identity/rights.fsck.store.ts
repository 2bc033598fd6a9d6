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
}

/** Sessions that would be taken for good now. */
export function liveSessions(sql: Sql): Promise<SessionRow[]> {
  return sql.query(
    `select id, identity_id as identity, aal, authenticated_at, ends_at, encode(hash, 'hex') as hash from session
      where ended_at is null and ends_at > now() order by id`,
  )
}

export function bindings(sql: Sql): Promise<{ role: string; kind: string; subject: string }[]> {
  return sql.query('select role, subject_kind as kind, subject_id as subject from role_binding order by id')
}

export function passkeys(
  sql: Sql,
): Promise<{ id: string; identity: string; name: string; device_bound: boolean; credential_id: string; public_key: string }[]> {
  return sql.query(
    `select id, identity_id as identity, name, device_bound, credential_id, encode(public_key, 'hex') as public_key
       from passkey order by id`,
  )
}

type Named = { readonly id: string } & { readonly [fact: string]: Json }

export function loginProviders(sql: Sql): Promise<Named[]> {
  return sql.query(
    `select id, issuer, client_id as "clientId", auth, acr, amr, aal, max_age_seconds as "maxAgeSeconds", link_by_email as "linkByEmail",
            makers, confirmed
       from login_provider order by id`,
  )
}

export function issuers(sql: Sql): Promise<Named[]> {
  return sql.query(
    `select id, type, origin, audience, algorithms, max_token_age_seconds as "maxTokenAgeSeconds",
            clock_skew_seconds as "clockSkewSeconds", keys_max_age_seconds as "keysMaxAgeSeconds", replay, makers, confirmed,
            case keys_from when 'inline' then jsonb_build_object('from', keys_from, 'jwks', jwks)
                           when 'url' then jsonb_build_object('from', keys_from, 'url', jwks_url)
                           else jsonb_build_object('from', keys_from) end as keys
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
  readonly requester: Json
  readonly expires_at: Date
  readonly bypassed_by: string | null
  readonly bypass_reason: string | null
  readonly factors: Json
  readonly approvers: readonly string[] | null
  /** Decisions that were not taken back: who, what, level, passkey. */
  readonly live: readonly [string, string, number, string | null][] | null
}

export function approvals(sql: Sql): Promise<ApprovalRow[]> {
  return sql.query(
    `select a.id, a.action, a.subject, a.what, a.words, a.digest, a.state, a.excluded, a.expires_at, a.bypassed_by, a.bypass_reason,
            jsonb_build_object('kind', a.requester_kind, 'id', a.requester_id, 'identity', a.requester_identity) as requester,
            (select jsonb_agg(jsonb_build_object('team', f.team_id, 'count', f.count, 'aal', f.aal, 'passkey', f.passkey)
                              order by f.position)
               from approval_factor f where f.approval_id = a.id) as factors,
            (select jsonb_agg(distinct p.identity_id::text order by p.identity_id::text) from approval_approver p
              where p.approval_id = a.id) as approvers,
            (select jsonb_agg(jsonb_build_array(d.identity_id, d.decision, d.aal, d.passkey)) from approval_decision d
              where d.approval_id = a.id and d.taken_back_at is null) as live
       from approval a order by a.id`,
  )
}
