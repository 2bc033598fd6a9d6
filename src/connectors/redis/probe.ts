import { type Ctx, isCode, newId, RekeyError, Secret } from '../../kernel/index.ts'
import type { Probe, SystemSpec } from '../contract.ts'
import { withDeadline } from '../deadline.ts'
import { checkName } from './acl.ts'
import { faultName, replyCode } from './faults.ts'
import { Link } from './link.ts'

/**
 * Logs in as a consumer would and out again. Never rejects.
 * - AUTH passes and, on the same connection, a random value does not: `accepted`
 * - AUTH passes with the random value too (a `nopass` user): `inconclusive`, since this value proves nothing
 * - WRONGPASS: `refused`. A user that is off or does not exist answers the same; then the control probe is refused as well.
 * - any other answer (LOADING, MASTERDOWN, DENIED, too many clients, …): `inconclusive`
 * AUTH alone decides: what the account may do (NOPERM) is never asked.
 */
export async function probeLogin(ctx: Ctx, spec: SystemSpec, account: string, secret: Secret): Promise<Probe> {
  try {
    checkName(account)
    return await withDeadline(ctx, spec.timeoutMs, async (signal) => {
      const link = await Link.open(spec.address, spec.timeoutMs, signal)
      try {
        await link.authenticate(signal, account, secret)
        return await refusesRandom(link, signal, account)
      } finally {
        // Whoever gave up does not wait for a goodbye.
        if (signal.aborted) link.destroy()
        else await link.end()
      }
    })
  } catch (error) {
    return classify(error)
  }
}

async function refusesRandom(link: Link, signal: AbortSignal, account: string): Promise<Probe> {
  try {
    await link.authenticate(signal, account, Secret.fromText(`${newId()}${newId()}`))
  } catch (error) {
    if (replyCode(error) === 'WRONGPASS') return { outcome: 'accepted', code: 'ok' }
    throw error
  }
  return { outcome: 'inconclusive', code: 'any_password_accepted' }
}

function classify(error: unknown): Probe {
  const reply = replyCode(error)
  if (reply === 'WRONGPASS') return { outcome: 'refused', code: reply }
  if (reply !== null) return { outcome: 'inconclusive', code: reply }
  if (isCode(error, 'target_unreachable')) return { outcome: 'unreachable', code: error.detail ?? 'connection' }
  if (error instanceof RekeyError) return { outcome: 'inconclusive', code: error.code }
  return { outcome: 'unreachable', code: faultName(error) }
}
