import type { Sql, Tx } from '../store/index.ts'
import type { ActivationRule } from './model.ts'

/** Spent challenges are kept so long, for nobody but a reader of the table. */
const KEEP_EXPIRED = "interval '1 hour'"

export async function findConsumer(
  sql: Sql,
  credential: string,
  consumer: string,
): Promise<{ id: string; activation: ActivationRule; credential_id: string; system: string; identity_id: string | null } | null> {
  const [row] = await sql.query<{
    id: string
    activation: ActivationRule
    credential_id: string
    system: string
    identity_id: string | null
  }>(
    `select k.id, k.credential_id, k.activation, s.name as system, c.identity_id
       from consumer k join credential c on c.id = k.credential_id join system s on s.id = c.system_id
      where c.name = $1 and k.name = $2`,
    [credential, consumer],
  )
  return row ?? null
}

export async function insertChallenge(tx: Tx, id: string, consumerId: string, nonce: Uint8Array, seconds: number): Promise<Date> {
  await tx.query(`delete from challenge where id in (select id from challenge where expires_at < now() - ${KEEP_EXPIRED} limit 100)`)
  const [row] = await tx.query<{ expires_at: Date }>(
    `insert into challenge (id, consumer_id, nonce, expires_at) values ($1, $2, $3, now() + make_interval(secs => $4))
     returning expires_at`,
    [id, consumerId, Buffer.from(nonce), seconds],
  )
  return row?.expires_at ?? new Date(0)
}

export interface Spent {
  readonly nonce: Uint8Array
  readonly consumer: string
  readonly activation: ActivationRule
  readonly credential_id: string
  readonly credential: string
  readonly system: string
  readonly identity_id: string | null
  readonly kek_id: string
  readonly wrapped_key: Uint8Array
}

/** Uses a challenge up; null if it is unknown, used or expired. Of two that try at once one gets it. */
export async function spend(tx: Tx, id: string): Promise<Spent | null> {
  const [row] = await tx.query<Spent>(
    `update challenge h set used_at = now() from consumer k, credential c, system s
      where h.id = $1 and h.used_at is null and h.expires_at > now()
        and k.id = h.consumer_id and c.id = k.credential_id and s.id = c.system_id
      returning h.nonce, k.name as consumer, k.activation, c.id as credential_id, c.name as credential, s.name as system, c.identity_id,
                c.kek_id, c.wrapped_key`,
    [id],
  )
  return row ?? null
}

export interface Reportable {
  readonly rotation: string
  readonly system_id: string
  readonly version_id: string
  readonly version: number
  readonly sealed: Uint8Array
}

/**
 * The live rotation whose new value consumers may report now: installed, and not yet known to be in use by all. A blocked one counts
 * by where it was blocked, since a late report is what lets it go on.
 */
export async function reportable(sql: Sql, credentialId: string): Promise<Reportable | null> {
  const [row] = await sql.query<Reportable>(
    `select r.id as rotation, r.system_id, v.id as version_id, v.number as version, v.sealed
       from rotation r join version v on v.id = r.new_version_id
      where r.credential_id = $1 and r.ended_at is null and v.sealed is not null
        and coalesce(r.blocked_from, r.state) in ('installed', 'verified', 'distributed')`,
    [credentialId],
  )
  return row ?? null
}

/** False if the consumer was seen with the new value before. */
export async function insertActivation(tx: Tx, rotation: string, consumer: string, person: string | null): Promise<boolean> {
  const rows = await tx.query(
    `insert into activation (rotation_id, consumer_name, how, by_person) values ($1, $2, 'report', $3)
     on conflict do nothing returning rotation_id`,
    [rotation, consumer, person],
  )
  return rows.length === 1
}

/** Lets a rotation that waits for consumers look at once. One that a worker holds is left to it. */
export async function hurry(tx: Tx, rotation: string): Promise<void> {
  await tx.query(
    `update rotation set due_at = now()
      where id = $1 and state = 'distributed' and due_at > now() and (lease_until is null or lease_until <= now())`,
    [rotation],
  )
}
