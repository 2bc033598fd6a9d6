import type { Tx } from '../store/index.ts'
import { isLive } from './session.store.ts'

/** What exactly a person confirms: an action of the closed list, on one subject, with one content. */
export interface Act {
  readonly action: string
  readonly subject: string
  /** SHA-256 of the content, hex. */
  readonly digest: string
}

/** A person in one session. */
export interface ProofHolder {
  readonly identity: string
  readonly session: string
}

/** How long a proof may wait to be used, seconds. */
const PROOF_SECONDS = 300

export interface ProofRow extends Act, ProofHolder {
  readonly id: string
  readonly passkey: string
}

export async function insertProof(tx: Tx, { id, session, identity, passkey, action, subject, digest }: ProofRow): Promise<void> {
  await tx.query(
    `insert into step_up_proof (id, session_id, identity_id, passkey_id, action, subject, digest, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))`,
    [id, session, identity, passkey, action, subject, digest, PROOF_SECONDS],
  )
}

export interface UsedRow {
  readonly passkey: string
  readonly credential: string
  readonly at: Date
}

/** Proofs that were not used yet go on with the session that takes the place of theirs. */
export async function moveProofs(tx: Tx, from: string, to: string): Promise<void> {
  await tx.query('update step_up_proof set session_id = $2 where session_id = $1 and used_at is null', [from, to])
}

/** Exactly what was confirmed, by whom, in this session, which is live, once. */
export async function takeProof(tx: Tx, id: string, holder: ProofHolder, { action, subject, digest }: Act): Promise<UsedRow | null> {
  const [row] = await tx.query<UsedRow>(
    `update step_up_proof t set used_at = now() from passkey p
      where t.id = $1 and t.identity_id = $2 and t.session_id = $3 and t.action = $4 and t.subject = $5 and t.digest = $6
        and t.used_at is null and t.expires_at > now() and p.id = t.passkey_id and ${isLive('t.session_id')}
      returning t.passkey_id as passkey, p.credential_id as credential, t.at`,
    [id, holder.identity, holder.session, action, subject, digest],
  )
  return row ?? null
}
