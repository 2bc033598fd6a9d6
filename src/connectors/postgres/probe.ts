import { type Ctx, isCode, type Secret } from '../../kernel/index.ts'
import type { ScramKey } from '../../seal/index.ts'
import type { Probe } from '../contract.ts'
import { withDeadline } from '../deadline.ts'
import { differenceOf, doubtAfter, doubtOf, OTHER_SERVER } from '../server.ts'
import { faultName, sqlState } from './faults.ts'
import { factsOfSystem, SYSTEM_IDENTIFIER } from './identity.ts'
import { Login } from './login.ts'
import type { Roots } from './roots.ts'

/**
 * Logs in as a consumer would, asks which server it is, and logs out. Never rejects.
 * - let in after a password was asked for: `accepted`
 * - let in by a server that showed nothing (MD5, over a channel that is not checked): `inconclusive`, unless root sees the login
 * - let in without (`trust`, `peer`, a certificate): `inconclusive`, since any value would have been
 * - 28P01: `refused`. So are an account whose VALID UNTIL has passed, one without a password and one that does not exist; for
 *   none of them does this value open anything now, but moving VALID UNTIL would revive it: only an install or retire kills it.
 * - any other SQLSTATE (28000 not allowed to log in, 3D000, 53300 too many connections, 57P03 starting up) says nothing of the value
 * @param known the value's SCRAM key, if this process made its verifier
 * @param own has the probe's server process in it as long as that lives, so that no probe is taken for a consumer's session
 */
export async function probeLogin(
  ctx: Ctx,
  roots: Roots,
  account: string,
  secret: Secret,
  own: Set<number>,
  known?: ScramKey,
): Promise<Probe> {
  const { spec } = roots
  const login = new Login(spec.address, account, secret, { known })
  try {
    return await withDeadline(ctx, spec.timeoutMs, async (signal) => {
      await login.connect(signal)
      if (login.pid !== null) own.add(login.pid)
      if (!login.passwordAsked) return { outcome: 'inconclusive', code: 'no_password_asked' }
      const doubt = login.serverProven ? await doubtOfServer(ctx, login, roots, signal) : await doubtOfUnproven(ctx, login, roots)
      return doubt === null ? { outcome: 'accepted', code: 'ready' } : { outcome: 'inconclusive', code: doubt }
    })
  } catch (error) {
    return failed(error, login.passwordAsked)
  } finally {
    const { pid } = login
    await login.end()
    if (pid !== null) own.delete(pid)
  }
}

/**
 * Whether it is the server that is on record that let the account in. If a root connection, whose server is known, sees this very login
 * among its sessions, it is: a connection that is warm answers in an eighth of the processor time that the first query of a new one takes.
 * If not (none is free, or something between us shares connections), the login asks for itself; one that may not leaves it to a root login.
 */
async function doubtOfServer(ctx: Ctx, login: Login, roots: Roots, signal: AbortSignal): Promise<string | null> {
  const { server } = roots.spec
  if (!server || Object.keys(server.facts).length === 0) return null
  if (await roots.sees(ctx, login)) return null
  const facts = factsOfSystem(await login.ask(signal, SYSTEM_IDENTIFIER, 'id'))
  if (Object.keys(facts).length > 0) return doubtOf(differenceOf(server, { facts, run: null }, 0))
  return doubtAfter(roots.confirm(signal))
}

/**
 * A server that shows nothing at the login lets in whom it likes. It counts only if a root connection, for which a server must prove
 * itself, sees this very login. No answer to root is no answer to the probe either.
 */
async function doubtOfUnproven(ctx: Ctx, login: Login, roots: Roots): Promise<string | null> {
  try {
    return (await roots.finds(ctx, login)) ? null : 'server_not_proven'
  } catch (error) {
    if (isCode(error, 'target_unreachable')) throw error
    return isCode(error, 'target_conflict') && error.detail === OTHER_SERVER ? OTHER_SERVER : 'server_not_proven'
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
