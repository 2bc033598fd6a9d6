import { type Ctx, isCode, newId, RekeyError, Secret } from '../../kernel/index.ts'
import type { Probe } from '../contract.ts'
import { withDeadline } from '../deadline.ts'
import { doubtAfter, doubtOf } from '../server.ts'
import { checkName } from './acl.ts'
import { faultName, replyCode } from './faults.ts'
import { identityOf } from './identity.ts'
import { Link } from './link.ts'
import type { Root } from './root.ts'

/**
 * Logs in as a consumer would and out again. Never rejects.
 * - AUTH passes and, on the same connection, a random value does not: `accepted`
 * - AUTH passes with the random value too (a `nopass` user): `inconclusive`, since this value proves nothing
 * - WRONGPASS: `refused`. A user that is off or does not exist answers the same; then the control probe is refused as well.
 * - any other answer (LOADING, MASTERDOWN, DENIED, too many clients, …): `inconclusive`
 * AUTH alone decides, and what the server says of itself; an account that may not ask for that leaves it to a root login.
 */
export async function probeLogin(ctx: Ctx, root: Root, account: string, secret: Secret): Promise<Probe> {
  try {
    checkName(account)
    const { spec } = root
    return await withDeadline(ctx, spec.timeoutMs, async (signal) => {
      const link = await Link.open(spec.address, spec.timeoutMs, signal)
      try {
        await link.authenticate(signal, account, secret)
        const probe = await refusesRandom(link, signal, account)
        const doubt = probe.outcome === 'accepted' && spec.server ? await doubtOfServer(link, root, signal, account) : null
        return doubt === null ? probe : { outcome: 'inconclusive', code: doubt }
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

/** Whether it is the server that is on record that let the account in. */
async function doubtOfServer(link: Link, root: Root, signal: AbortSignal, account: string): Promise<string | null> {
  const info = await link.command(signal, 'INFO', 'server').catch((error: unknown) => {
    if (replyCode(error) === null) throw error
    return null
  })
  if (info === null) return doubtAfter(root.confirm(signal))
  return doubtOf(root.differenceOf(identityOf(String(info), null, account)))
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
