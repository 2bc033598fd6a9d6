import { append } from '../evidence/index.ts'
import { type Ctx, messageOf, sleep } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import { revokeTokensOf, tokenEvent } from './token.actions.ts'
import * as rows from './token.store.ts'
import { proofByHash } from './tokens.ts'

const BATCH = 100
const LOOK_EVERY_MS = 5_000

/**
 * Proves tokens dead that were revoked or have ended: the server tries each as it would try one that is presented, and at the same
 * moment one that must be accepted (`token.proven_dead`, with what the control said: `none` where there is no good token at all).
 * Resolves with how many. One that is still accepted, or whose control is refused, stays unproven and is logged.
 */
export async function proveDeadTokens(store: Store, ctx: Ctx): Promise<number> {
  return store.inTx(async (tx) => {
    const proven: { readonly one: rows.Ended; readonly control: string }[] = []
    for (const one of await rows.lockEnded(tx, BATCH)) {
      const control = await rows.controlHash(tx, one.replaced_by)
      const accepted = control === null ? 'none' : (await proofByHash(tx, ctx, control)) === null ? 'refused' : 'accepted'
      if ((await proofByHash(tx, ctx, one.hash)) !== null || accepted === 'refused') {
        ctx.log.error({ token: one.id, control: accepted }, 'the end of a token could not be proven')
        continue
      }
      proven.push({ one, control: accepted })
    }
    const at = await rows.markDead(
      tx,
      proven.map(({ one }) => one.id),
    )
    const told = { provenDeadAt: at?.toISOString() ?? null }
    await append(
      tx,
      ctx,
      proven.map(({ one, control }) =>
        tokenEvent('token.proven_dead', one, { end: one.revoked ? 'revoked' : 'expired', control, ...told }),
      ),
    )
    return proven.length
  })
}

/**
 * Revokes the tokens of identities that are offboarded or gone, and those that they made. Resolves with how many. A lost nudge costs
 * nothing: the rows say it.
 */
export async function revokeOrphanTokens(store: Store, ctx: Ctx): Promise<number> {
  let revoked = 0
  for (const identity of await rows.goneWithTokens(store, BATCH)) {
    revoked += (await store.inTx((tx) => revokeTokensOf(tx, ctx, identity, 'its identity, or who made it, was offboarded'))).length
  }
  return revoked
}

/** Does both until stopped. Any number of processes may. */
export async function runTokenEnds(store: Store, ctx: Ctx): Promise<void> {
  while (!ctx.signal.aborted) {
    try {
      if ((await revokeOrphanTokens(store, ctx)) + (await proveDeadTokens(store, ctx)) > 0) continue
    } catch (error) {
      ctx.log.warn({ error: messageOf(error) }, 'ends of tokens could not be looked at, trying again')
    }
    await sleep(LOOK_EVERY_MS, ctx.signal)
  }
}
