import type { Ctx } from '../../kernel/index.ts'
import type { Principal } from '../../policy/index.ts'
import type { Tx } from '../../store/index.ts'
import type { Assertion } from '../approval.model.ts'
import { takeNewestProof } from './step-up.store.ts'

/**
 * The newest step-up by which this person confirmed a decision on this very digest, used up by it; null if there is none, or it is older
 * than five minutes. For `decideByHand`: the decision and the use of the proof are one transaction.
 */
export async function confirmedDecision(tx: Tx, _ctx: Ctx, by: Principal, digest: string): Promise<Assertion | null> {
  if (by.kind !== 'person') return null
  const used = await takeNewestProof(tx, by.id, 'approval:decide', digest)
  return used === null ? null : { credentialId: used.credential, digest, at: used.at }
}
