import { addressKey } from '../../kernel/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { fold } from '../scim/attribute.ts'
import { FLOW_SECONDS } from './model.ts'

export interface FlowRow {
  readonly provider_id: string
  readonly origin: string
  readonly max_age_seconds: number
}

/** One login at a time for a browser: a new one takes the place of the one before. */
export async function putFlow(sql: Sql, hashHex: string, flow: FlowRow): Promise<void> {
  await sql.query(
    `insert into login_flow (browser_hash, provider_id, origin, max_age_seconds, expires_at)
     values (decode($1, 'hex'), $2, $3, $4, now() + make_interval(secs => $5))
     on conflict (browser_hash) do update set provider_id = excluded.provider_id, origin = excluded.origin,
       max_age_seconds = excluded.max_age_seconds, expires_at = excluded.expires_at`,
    [hashHex, flow.provider_id, flow.origin, flow.max_age_seconds, FLOW_SECONDS],
  )
  await sql.query(
    `delete from login_flow where ctid in (select ctid from login_flow where expires_at < now() order by expires_at limit 100
      for update skip locked)`,
  )
}

/** Taken once, whatever becomes of it. */
export async function takeFlow(sql: Sql, hashHex: string): Promise<FlowRow | null> {
  const [row] = await sql.query<FlowRow & { live: boolean }>(
    `delete from login_flow where browser_hash = decode($1, 'hex')
     returning provider_id, origin, max_age_seconds, expires_at > now() as live`,
    [hashHex],
  )
  return row?.live ? row : null
}

export interface PersonRow {
  readonly id: string
  readonly name: string
  readonly status: string
}

export async function personLinked(sql: Sql, source: string, externalId: string): Promise<PersonRow | null> {
  const [row] = await sql.query<PersonRow>(
    `select i.id, i.name, i.status from identity_external e join identity i on i.id = e.identity_id
      where e.source = $1 and e.external_id = $2 and i.kind = 'human'`,
    [source, externalId],
  )
  return row ?? null
}

/** Whom a directory knows by an address. */
export interface AddressRow extends PersonRow {
  readonly user_id: string
  readonly provider_id: string
  /** The name of the directory. */
  readonly directory: string
  /** It pushed them with this address when it pushed them first. */
  readonly first: boolean
  /** By the record and by the directory. */
  readonly active: boolean
  /** The directory says so of somebody else too. */
  readonly shared: boolean
  /** The directory spells the address so, but for case and width: only that gives a login to anybody. */
  readonly spelled: boolean
  /** They have a subject at this provider already. */
  readonly linked: boolean
}

/**
 * Of whom it was said first that they have this address, by any directory; the word of another one after that does not count. Looked for as
 * widely as people are told apart.
 */
export async function holderOfAddress(tx: Tx, email: string, source: string): Promise<AddressRow | null> {
  const [row] = await tx.query<AddressRow>(
    `with held as (
       select i.id, i.name, i.status, u.id as user_id, u.provider_id, e.since, e.since = u.created_at as first, e.email_key = $3 as spelled,
              i.status = 'active' and u.active is not false as active
         from scim_email e join scim_user u on u.id = e.user_id join identity i on i.id = u.identity_id
        where e.address = $1 and u.deleted_at is null and i.kind = 'human' and i.status <> 'offboarded')
     select h.id, h.name, h.status, h.user_id, h.provider_id, p.name as directory, h.first, h.active, h.spelled,
            exists (select from held o where o.provider_id = h.provider_id and o.id <> h.id) as shared,
            exists (select from identity_external x where x.identity_id = h.id and x.source = $2) as linked
       from held h join scim_provider p on p.id = h.provider_id order by h.since, h.id limit 1`,
    [addressKey(email), source, fold(email)],
  )
  return row ?? null
}
