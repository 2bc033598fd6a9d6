import { type Ctx, isCode, type Secret } from '../../kernel/index.ts'
import type { ScramKey } from '../../seal/index.ts'
import type { Address, Probe } from '../contract.ts'
import { withDeadline } from '../deadline.ts'
import { faultName, sqlState } from './faults.ts'
import { Login } from './login.ts'

/**
 * Logs in as a consumer would, without a query, and logs out. Never rejects.
 * - let in after a password was asked for: `accepted`
 * - let in without (`trust`, `peer`, a certificate): `inconclusive`, since any value would have been
 * - 28P01: `refused`. So are an account whose VALID UNTIL has passed, one without a password and one that does not exist; for
 *   none of them does this value open anything now, but moving VALID UNTIL would revive it: only an install or retire kills it.
 * - any other SQLSTATE (28000 not allowed to log in, 3D000, 53300 too many connections, 57P03 starting up) says nothing of the value
 * @param known the value's SCRAM key, if this process made its verifier
 * @param own has the probe's server process in it as long as that lives, so that no probe is taken for a consumer's session
 */
export async function probeLogin(
  ctx: Ctx,
  where: { readonly address: Address; readonly timeoutMs: number },
  account: string,
  secret: Secret,
  own: Set<number>,
  known?: ScramKey,
): Promise<Probe> {
  const login = new Login(where.address, account, secret, known)
  try {
    await withDeadline(ctx, where.timeoutMs, (signal) => login.connect(signal))
    if (login.pid !== null) own.add(login.pid)
    return login.passwordAsked ? { outcome: 'accepted', code: 'ready' } : { outcome: 'inconclusive', code: 'no_password_asked' }
  } catch (error) {
    return failed(error, login.passwordAsked)
  } finally {
    const { pid } = login
    await login.end()
    if (pid !== null) own.delete(pid)
  }
}

function failed(error: unknown, passwordAsked: boolean): Probe {
  const state = sqlState(error)
  if (state === '28P01' && passwordAsked) return { outcome: 'refused', code: state }
  if (state !== null) return { outcome: 'inconclusive', code: state }
  if (isCode(error, 'bad_input')) return { outcome: 'inconclusive', code: 'value_not_text' }
  if (isCode(error, 'target_unreachable')) return { outcome: 'unreachable', code: 'timeout' }
  return { outcome: 'unreachable', code: faultName(error) }
}
