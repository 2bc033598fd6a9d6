import type { Sql, Tx } from '../../store/index.ts'
import { canLogIn } from '../person.store.ts'

/** How long a challenge may wait for its answer, seconds: as long as browsers wait for a person. */
const CHALLENGE_SECONDS = 300

export const PURPOSES = ['login', 'enrol', 'step_up'] as const
export type Purpose = (typeof PURPOSES)[number]

export interface ChallengeRow {
  readonly id: string
  readonly purpose: Purpose
  readonly nonce: string
  readonly identity_id: string | null
  readonly action: string | null
  readonly subject: string | null
  readonly digest: string | null
  readonly name: string | null
  readonly code: string | null
  readonly origin: string
  readonly rp_id: string
}

export async function putChallenge(sql: Sql, holderHex: string, row: ChallengeRow): Promise<Date> {
  const { id, purpose, nonce, identity_id, action, subject, digest, name, code, origin, rp_id } = row
  const [made] = await sql.query<{ expires_at: Date }>(
    `insert into passkey_challenge (id, purpose, nonce, holder_hash, identity_id, action, subject, digest, name, code_hash, origin, rp_id,
                                    expires_at)
     values ($1, $2, $3, decode($4, 'hex'), $5, $6, $7, $8, $9, decode($10, 'hex'), $11, $12, now() + make_interval(secs => $13))
     returning expires_at`,
    [id, purpose, nonce, holderHex, identity_id, action, subject, digest, name, code, origin, rp_id, CHALLENGE_SECONDS],
  )
  await sql.query(
    `delete from passkey_challenge where ctid in (select ctid from passkey_challenge where expires_at < now() order by expires_at limit 100
      for update skip locked)`,
  )
  if (made === undefined) throw new Error('an insert returned no row')
  return made.expires_at
}

/** Taken once by its holder, whatever becomes of it; nobody else can use it up. Null if it is not there, or too old. */
export async function takeChallenge(sql: Sql, id: string, purpose: Purpose, holderHex: string): Promise<ChallengeRow | null> {
  const [row] = await sql.query<ChallengeRow & { live: boolean }>(
    `delete from passkey_challenge where id = $1 and purpose = $2 and holder_hash = decode($3, 'hex')
     returning id, purpose, nonce, identity_id, action, subject, digest, name, encode(code_hash, 'hex') as code, origin, rp_id,
               expires_at > now() as live`,
    [id, purpose, holderHex],
  )
  return row?.live ? row : null
}

export interface PasskeyRow {
  readonly id: string
  readonly identity_id: string
  readonly credential_id: string
  readonly public_key: Uint8Array
  readonly counter: number
  readonly transports: readonly string[]
  readonly aaguid: string
  readonly attestation: string
  readonly device_bound: boolean
  readonly backed_up: boolean
  readonly rp_id: string
  readonly name: string
}

/** By which link to a provider somebody came into this session, directly or by a passkey that was enrolled so; null: by none. */
export async function linkOfSession(tx: Tx, session: string): Promise<string | null> {
  const [row] = await tx.query<{ source: string | null }>(
    `select coalesce('oidc:' || l.name, p.came_by) as source from session s left join login_provider l on l.id = s.provider_id
       left join passkey p on p.id = s.passkey_id where s.id = $1`,
    [session],
  )
  return row?.source ?? null
}

/** A person's passkeys that were enrolled in logins by this link. */
export async function passkeysCameBy(sql: Sql, identity: string, source: string): Promise<{ id: string; name: string }[]> {
  return sql.query('select id, name from passkey where identity_id = $1 and came_by = $2 order by id', [identity, source])
}

/** It came by no link any more: somebody said that the person has it. */
export async function ownPasskey(tx: Tx, id: string): Promise<void> {
  await tx.query('update passkey set came_by = null where id = $1', [id])
}

/** How many passkeys were enrolled in logins by links to this provider. */
export async function countCameBy(sql: Sql, source: string): Promise<number> {
  const [row] = await sql.query<{ count: number }>('select count(*)::int as count from passkey where came_by = $1', [source])
  return row?.count ?? 0
}

/** False if the authenticator's id is on record already. `cameBy`: see `linkOfSession`. */
export async function insertPasskey(tx: Tx, row: PasskeyRow, cameBy: string | null): Promise<boolean> {
  const done = await tx.query(
    `insert into passkey (id, identity_id, credential_id, public_key, counter, transports, aaguid, attestation, device_bound, backed_up,
                          rp_id, name, came_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict (credential_id) do nothing returning id`,
    [
      row.id,
      row.identity_id,
      row.credential_id,
      row.public_key,
      row.counter,
      row.transports,
      row.aaguid,
      row.attestation,
      row.device_bound,
      row.backed_up,
      row.rp_id,
      row.name,
      cameBy,
    ],
  )
  return done.length === 1
}

const COLUMNS = `p.id, p.identity_id, p.credential_id, p.public_key, p.counter::float8 as counter, p.transports, p.aaguid, p.attestation,
  p.device_bound, p.backed_up, p.rp_id, p.name`

export type OwnedPasskey = PasskeyRow & { readonly person: string }

export async function passkeyByCredential(sql: Sql, credentialId: string): Promise<OwnedPasskey | null> {
  const [row] = await sql.query<OwnedPasskey>(
    `select ${COLUMNS}, i.name as person from passkey p join identity i on i.id = p.identity_id where p.credential_id = $1`,
    [credentialId],
  )
  return row ?? null
}

export async function passkeysOf(sql: Sql, identity: string): Promise<PasskeyRow[]> {
  return sql.query(`select ${COLUMNS} from passkey p where p.identity_id = $1 order by p.id`, [identity])
}

/**
 * Notes a use. False if the authenticator's counter did not grow: then there are two of it (WebAuthn section 6.1.1). One that has none
 * says 0 always.
 */
export async function notePasskeyUse(tx: Tx, id: string, counter: number, backedUp: boolean): Promise<boolean> {
  const done = await tx.query(
    `update passkey set counter = $2, backed_up = $3, last_used_at = now()
      where id = $1 and ($2::bigint > counter or ($2::bigint = 0 and counter = 0)) returning id`,
    [id, counter, backedUp],
  )
  return done.length === 1
}

export interface ListedPasskey extends PasskeyRow {
  readonly person: string
  readonly created_at: Date
  readonly last_used_at: Date | null
}

export async function listPasskeys(sql: Sql, identity: string | null, after: string | null, limit: number): Promise<ListedPasskey[]> {
  return sql.query(
    `select ${COLUMNS}, i.name as person, p.created_at, p.last_used_at from passkey p join identity i on i.id = p.identity_id
      where ($1::uuid is null or p.identity_id = $1) and ($2::uuid is null or p.id > $2) order by p.id limit $3`,
    [identity, after, limit],
  )
}

export async function passkeyById(sql: Sql, id: string): Promise<OwnedPasskey | null> {
  const [row] = await sql.query<OwnedPasskey>(
    `select ${COLUMNS}, i.name as person from passkey p join identity i on i.id = p.identity_id where p.id = $1`,
    [id],
  )
  return row ?? null
}

export async function deletePasskey(tx: Tx, id: string): Promise<boolean> {
  return (await tx.query('delete from passkey where id = $1 returning id', [id])).length === 1
}

/** Of these people, those who are active and have a way to log in. */
export async function whoCanLogIn(sql: Sql, identities: readonly string[]): Promise<string[]> {
  if (identities.length === 0) return []
  const rows = await sql.query<{ id: string }>(`select i.id from identity i where i.id = any($1::uuid[]) and ${canLogIn('i')}`, [
    identities,
  ])
  return rows.map(({ id }) => id)
}
