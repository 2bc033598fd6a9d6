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

/**
 * Active people whom a directory knows by this address, and who have no subject at this provider yet. Looked for as widely as people are
 * told apart; `spelled`: the directory spells it so, but for case and width. Only that gives a login to anybody.
 */
export async function peopleByEmail(tx: Tx, email: string, source: string): Promise<(PersonRow & { readonly spelled: boolean })[]> {
  return tx.query(
    `select i.id, i.name, i.status, bool_or(e.email_key = $3) as spelled
       from scim_email e join scim_user u on u.id = e.user_id join identity i on i.id = u.identity_id
      where e.address = $1 and u.deleted_at is null and u.active is not false and i.kind = 'human' and i.status = 'active'
        and not exists (select 1 from identity_external x where x.identity_id = i.id and x.source = $2)
      group by i.id limit 2`,
    [addressKey(email), source, fold(email)],
  )
}
