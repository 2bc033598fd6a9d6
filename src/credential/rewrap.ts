import type { Rewrap } from '../keys/index.ts'
import { dataKeyBound } from './targets.ts'

/** Wraps credentials' data keys with the active key-encryption key, some at a time; locked rows are waited for by the next batch. */
export const rewrapCredentials: Rewrap = async (tx, kekId, limit, again) => {
  const rows = await tx.query<{ id: string; wrapped_key: Uint8Array }>(
    'select id, wrapped_key from credential where kek_id = $1 order by id limit $2 for update',
    [kekId, limit],
  )
  const made = []
  for (const { id, wrapped_key } of rows) {
    const { kekId: to, wrapped } = await again(wrapped_key, dataKeyBound(id))
    made.push({ id, kek: to, wrapped: `\\x${Buffer.from(wrapped).toString('hex')}` })
  }
  if (made.length > 0) {
    await tx.query(
      `update credential c set kek_id = i.kek, wrapped_key = i.wrapped
         from jsonb_to_recordset($1::jsonb) as i(id uuid, kek uuid, wrapped bytea) where c.id = i.id`,
      [JSON.stringify(made)],
    )
  }
  return rows.length
}
