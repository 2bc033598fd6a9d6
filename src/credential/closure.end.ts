import { type IdentityRecord, recordsById } from '../identity/index.ts'
import { type Ctx, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine } from '../policy/index.ts'
import type { Tx } from '../store/index.ts'
import { closeCredentials } from './closure.changes.ts'
import { type ClosureView, closureById, closureResource } from './closure.list.ts'
import { planFor } from './closure.plan.ts'
import * as rows from './closure.rows.ts'
import type { ClosingParts } from './closure.run.ts'

interface Row {
  readonly id: string
  readonly identity_id: string | null
}

/**
 * Ends one credential of an identity that was offboarded, also for others who use it: suspended, destroyed and proven dead by a closure of
 * its own (`closure.opened`), or handed to a human where Rekey cannot. That is for what an offboarding has rotated because others use it.
 * Resolves with the closure. Throws `not_found`, in the same words for one that the asker may not touch; `wrong_state` where its identity
 * is not offboarded, its closure is under way, or it has no value that could authenticate.
 */
export async function endCredential(
  parts: ClosingParts,
  ctx: Ctx,
  may: Allowed<'closure:resolve'>,
  name: string,
  reason: string,
): Promise<ClosureView> {
  const id = await parts.store.inTx((tx) => end(parts, tx, ctx, may, name, reason))
  return closureById(parts.store, may, id)
}

async function end(parts: ClosingParts, tx: Tx, ctx: Ctx, may: Allowed<'closure:resolve'>, name: string, reason: string): Promise<string> {
  const { row, record } = await rowOf(tx, may, name)
  if (record === undefined) throw not(name, 'it has no identity', 'Give it one in the fleet file, and offboard that.')
  await rows.lockIdentity(tx, record.id)
  if (record.status !== 'offboarded') {
    throw not(name, `its identity ${record.name} is ${record.status}`, `To end all that it has: rekey identity offboard ${record.name}`)
  }
  const [live] = await tx.query<{ closure: string }>(
    "select closure_id as closure from closure_item where credential_id = $1 and ended_at is null and relation = 'own'",
    [row.id],
  )
  if (live !== undefined) throw not(name, 'its closure is under way', `See rekey closure show ${live.closure}.`)
  const [planned] = await planFor(tx, parts.targets, record, row.id, true)
  if (planned === undefined) throw not(name, 'it has no value that could authenticate')
  const closure = await closeCredentials(parts, tx, ctx, { record, goal: 'destroy', reason, credential: row.id, forAll: true })
  if (closure === null) throw new RekeyError('internal', `No closure was opened for ${name}.`)
  return closure
}

async function rowOf(tx: Tx, may: Allowed<'closure:resolve'>, name: string): Promise<{ row: Row; record: IdentityRecord | undefined }> {
  const [row] = await tx.query<Row>('select id, identity_id from credential where name = $1 and not is_root for update', [name])
  const record = row?.identity_id == null ? undefined : (await recordsById(tx, [row.identity_id])).get(row.identity_id)
  if (row === undefined || !isMine(may, closureResource(row.id, record))) {
    throw new RekeyError('not_found', `No such credential: ${name}`, { hint: 'See rekey credential list.' })
  }
  return { row, record }
}

function not(name: string, why: string, hint?: string): RekeyError {
  return new RekeyError('wrong_state', `${name} is not ended: ${why}.`, hint === undefined ? {} : { hint })
}
