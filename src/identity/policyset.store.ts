import type { PolicyFile } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import type { BothHandsView } from './policyset.hands.ts'

const POLICY_LOCK = 7_395_006
/** On which servers are told that another set is in force. It carries nothing: the row says which. */
export const POLICY_CHANNEL = 'rekey_policy'

export interface SetRow {
  readonly id: string
  readonly origin: 'default' | 'own'
  readonly state: 'proposed' | 'active' | 'replaced'
  readonly digest: string
  readonly base_digest: string | null
  readonly words: string
  readonly proposed_at: Date
  readonly proposed_by: string
  readonly proposers: readonly string[]
  readonly activated_at: Date | null
  readonly activated_by: string | null
  readonly bypass_reason: string | null
}

export interface SetRowWithFiles extends SetRow {
  readonly files: readonly PolicyFile[]
  readonly both_hands: readonly BothHandsView[]
}

const COLUMNS = `id, origin, state, digest, base_digest, words, proposed_at, proposed_by, proposers,
  activated_at, activated_by, bypass_reason`

/**
 * One change of policy or of who holds roles at a time: whether somebody could still change policy is asked of both. Held to the end of
 * the transaction.
 */
export async function lockPolicies(tx: Tx): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [POLICY_LOCK])
}

export async function activeSet(sql: Sql): Promise<SetRowWithFiles | null> {
  const [row] = await sql.query<SetRowWithFiles>(`select ${COLUMNS}, files, both_hands from policy_set where state = 'active'`)
  return row ?? null
}

/** Of the active set only what tells whether it is another one. */
export async function activeMark(sql: Sql): Promise<{ readonly id: string; readonly origin: 'default' | 'own' } | null> {
  const [row] = await sql.query<{ id: string; origin: 'default' | 'own' }>("select id, origin from policy_set where state = 'active'")
  return row ?? null
}

export async function findSet(sql: Sql, id: string): Promise<SetRowWithFiles | null> {
  const [row] = await sql.query<SetRowWithFiles>(`select ${COLUMNS}, files, both_hands from policy_set where id = $1`, [id])
  return row ?? null
}

export async function listSets(sql: Sql, after: string | null, limit: number): Promise<SetRow[]> {
  return sql.query(`select ${COLUMNS} from policy_set where ($1::uuid is null or id < $1) order by id desc limit $2`, [after, limit])
}

export interface NewSet {
  readonly id: string
  readonly origin: 'default' | 'own'
  readonly files: readonly PolicyFile[]
  readonly digest: string
  readonly baseDigest: string | null
  readonly words: string
  readonly by: string
  readonly proposers: readonly string[]
  readonly bothHands: readonly BothHandsView[]
}

export async function insertSet(tx: Tx, set: NewSet): Promise<void> {
  await tx.query(
    `insert into policy_set (id, origin, state, files, digest, base_digest, words, proposed_by, proposers, both_hands)
     values ($1, $2, 'proposed', $3::jsonb, $4, $5, $6, $7, $8, $9::jsonb)`,
    [
      set.id,
      set.origin,
      JSON.stringify(set.files),
      set.digest,
      set.baseDigest,
      set.words,
      set.by,
      set.proposers,
      JSON.stringify(set.bothHands),
    ],
  )
}

/** The one before makes room first: at no moment are two active, and none outside this transaction. */
export async function activateSet(tx: Tx, id: string, by: string, bypassReason: string | null): Promise<void> {
  await tx.query("update policy_set set state = 'replaced' where state = 'active'")
  await tx.query(
    `update policy_set set state = 'active', activated_at = now(), activated_by = $2, bypass_reason = $3
      where id = $1 and state = 'proposed'`,
    [id, by, bypassReason],
  )
  await tx.query('select pg_notify($1, $2)', [POLICY_CHANNEL, ''])
}
