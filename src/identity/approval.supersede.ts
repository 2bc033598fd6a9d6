/** Requests that ask for what is done already, by another way: nobody is left to decide about nothing. */
import type { Ctx } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { withdrawForGood } from './approval.actions.ts'
import { openBySubject, openOffboardings } from './approval.store.ts'

/**
 * Withdraws what still asks to bring this set of policies into force, in the transaction that has done so: asked for under an older rule,
 * while the set came in by a bypass or an approval under the new one.
 */
export async function supersedePolicies(tx: Tx, ctx: Ctx, set: string): Promise<void> {
  for (const { id } of await openBySubject(tx, 'policy:approve', set)) {
    await withdrawForGood(tx, ctx, id, 'Nothing is left to approve: these policies have come into force.')
  }
}

/** The same of an identity that this transaction offboards, whoever asked for that and with whatever reason. */
export async function supersedeOffboardings(tx: Tx, ctx: Ctx, identity: string): Promise<void> {
  for (const { id } of await openOffboardings(tx, identity)) {
    await withdrawForGood(tx, ctx, id, 'Nothing is left to approve: the identity has been offboarded.')
  }
}
