import type { Tx } from '../../store/index.ts'
import type { Act } from './passkey.ts'

/** How long a proof may wait to be used, seconds. */
const PROOF_SECONDS = 300

export interface ProofRow extends Act {
  readonly id: string
  readonly session: string
  readonly identity: string
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

/** Exactly what was confirmed, by whom, once. */
export async function takeProof(tx: Tx, id: string, identity: string, { action, subject, digest }: Act): Promise<UsedRow | null> {
  const [row] = await tx.query<UsedRow>(
    `update step_up_proof s set used_at = now() from passkey p
      where s.id = $1 and s.identity_id = $2 and s.action = $3 and s.subject = $4 and s.digest = $5 and s.used_at is null
        and s.expires_at > now() and p.id = s.passkey_id
      returning s.passkey_id as passkey, p.credential_id as credential, s.at`,
    [id, identity, action, subject, digest],
  )
  return row ?? null
}
