import { append } from '../evidence/index.ts'
import type { Ctx } from '../kernel/index.ts'
import type { RotationParts } from './rotation.run.ts'

/**
 * Destroys the ciphertext of versions whose time after their proof of death has come, a few at a time, and says so in evidence. So it
 * does with those of systems that were given up, and with root values that were told and never decided on (staged, with a time).
 * The row stays: number, times and fingerprint are the record.
 */
export async function shredDue(parts: Pick<RotationParts, 'store'>, ctx: Ctx): Promise<number> {
  return parts.store.inTx(async (tx) => {
    const rows = await tx.query<{ id: string; number: number; credential_id: string; name: string }>(
      `with due as (
         select id from version where shred_after <= now() and shredded_at is null and state not in ('current', 'previous')
          limit 200 for update skip locked)
       update version v set sealed = null, shredded_at = now(), state = case v.state when 'staged' then 'void' else v.state end
         from due, credential c
        where v.id = due.id and c.id = v.credential_id returning v.id, v.number, v.credential_id, c.name`,
    )
    const events = rows.map((row) => ({
      log: 'credential' as const,
      type: 'version.shredded',
      subject: row.name,
      links: { credential: row.credential_id, version: row.id },
      data: { version: row.number },
    }))
    if (events.length > 0) await append(tx, ctx, events)
    return rows.length
  })
}
