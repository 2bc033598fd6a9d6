import type { Tx } from '../../store/index.ts'
import { setInForce } from '../policyset.inforce.ts'
import { lockPolicies } from '../policyset.store.ts'
import { settleForced } from '../role.hands.ts'

/** After something that a directory gave, or a token of one, has ended: who does not hold both hands any more is forced anew. */
export async function settleMakers(tx: Tx): Promise<void> {
  await lockPolicies(tx)
  const set = await setInForce(tx)
  if (set !== null) await settleForced(tx, set)
}
