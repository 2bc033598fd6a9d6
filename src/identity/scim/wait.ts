/** Offboarding by a provider's order, where a rule says that others must approve it: it waits, and everybody sees what for. */
import { type Ctx, isCode } from '../../kernel/index.ts'
import type { Principal } from '../../policy/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { withdrawForGood } from '../approval.actions.ts'
import { approvalOrAsk } from '../approval.gate.ts'
import { approvalState } from '../approval.standing.ts'
import { offboardAsked } from '../record.actions.ts'
import { identityNamed } from '../record.list.ts'
import type { DueRow } from './user.store.ts'
import * as rows from './wait.store.ts'

/** `go`: approved, or no rule asks for it. `refused`: those who had to approve it said no. */
type Answer = 'go' | 'waits' | 'refused'

/**
 * The provider, as who asks: it decides nothing itself, and neither does who made the token by which it gave the order, or has one that is
 * good now (`standBehind`).
 */
function providerAsks({ provider, provider_id: id, makers }: DueRow): Principal {
  const proof = { aal: 0, authenticatedAt: null, attestation: 'token', actsFor: null, scope: null, environments: null } as const
  return { id, kind: 'token', identity: null, name: `SCIM provider ${provider}`, roles: [], teams: [], ...proof, makers: makers ?? [] }
}

/**
 * Uses up an approval for the offboarding that is due, or asks for one (once; again when it expired or is of something else by now), in
 * the caller's transaction. One that was rejected or withdrawn is asked for no more. Where nobody could approve, it waits all the same.
 */
export async function mayOffboard(tx: Tx, ctx: Ctx, user: DueRow, reason: string): Promise<Answer> {
  const before = (await rows.waitOf(tx, user.id))?.approval_id ?? null
  const state = before === null ? null : await approvalState(tx, ctx, before)
  if (state === 'rejected' || state === 'withdrawn') return 'refused'
  const asked = offboardAsked(await identityNamed(tx, user.identity_id), reason)
  try {
    const approval = await approvalOrAsk(tx, ctx, providerAsks(user), asked)
    if (before !== null && before !== approval?.id) await withdrawForGood(tx, ctx, before, 'It is another matter by now.')
    if (approval === null) return 'go'
    const why = approval.lack === null ? 'others must approve it' : `others must approve it, and nobody could: ${approval.lack}`
    await rows.putWait(tx, user.id, approval.id, why, ctx.clock.now())
  } catch (error) {
    // Too few people in the team, or a rule that cannot be read: somebody must mend that, and others must not wait for it.
    if (!isCode(error, 'bad_input') && !isCode(error, 'unavailable')) throw error
    ctx.log.warn({ identity: user.identity_id, why: error.message }, 'an offboarding that is due cannot be asked approval for')
    await rows.putWait(tx, user.id, before, error.message, ctx.clock.now())
  }
  return 'waits'
}

/** It waits no more, for whatever reason; a request that is still open is withdrawn, so that nobody decides about nothing. */
export async function endWait(tx: Tx, ctx: Ctx, user: string, reason: string): Promise<void> {
  const wait = await rows.waitOf(tx, user)
  if (wait === null) return
  if (wait.approval_id !== null) await withdrawForGood(tx, ctx, wait.approval_id, reason)
  await rows.dropWait(tx, user)
}

/** A page of those that wait, by user, and the last one's id (null at the end). */
export async function waitingOffboardings(
  sql: Sql,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<{ readonly found: rows.WaitingOffboarding[]; readonly last: string | null }> {
  const found = await rows.listWaits(sql, after, limit)
  return { found, last: found.length < limit ? null : (found.at(-1)?.id ?? null) }
}
