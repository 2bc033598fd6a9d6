import { type Ctx, isCode, newId, RekeyError, Secret } from '../../kernel/index.ts'
import type { Probe, SystemSpec } from '../contract.ts'
import { withDeadline } from '../deadline.ts'
import { differenceOf, doubtOf } from '../server.ts'
import { faultName, isWrongValue, serverErrno } from './faults.ts'
import { serverFacts } from './identity.ts'
import { Link } from './link.ts'
import { parseAccount } from './names.ts'

/** The number of a probe's session stays known to us for so long after its end: the server's list may lag behind the closed socket. */
const REMEMBER_MS = 5_000

/** Numbers of our own probes' sessions, so that they are never taken for a consumer's. */
export class OwnProbes {
  readonly #ids = new Set<number>()
  #start: number | null = null

  /** Forgets all when the server has started anew: its numbers have, too, and the next consumer's could be one of ours. */
  onServer(start: number): void {
    if (this.#start !== null && this.#start !== start) this.#ids.clear()
    this.#start = start
  }

  ids(): number[] {
    return [...this.#ids]
  }

  began(id: number): void {
    this.#ids.add(id)
  }

  ended(id: number): void {
    setTimeout(() => this.#ids.delete(id), REMEMBER_MS).unref()
  }
}

/**
 * Logs in as a consumer would and out again. Never rejects. `accepted` needs three things: the login passed, the server says that it
 * matched this very account (another with the same user name may be more specific for our host, and a server without grant tables
 * matches none), and a random value is refused (an account may have a way to log in that takes any).
 */
export async function probeLogin(ctx: Ctx, spec: SystemSpec, account: string, secret: Secret, own: OwnProbes): Promise<Probe> {
  try {
    return await withDeadline(ctx, spec.timeoutMs, async (signal) => {
      const { user, host } = parseAccount(account)
      const { matched, doubt } = await loginAs(signal, spec, user, secret, own)
      if (doubt !== null) return { outcome: 'inconclusive', code: doubt }
      if (matched !== `${user}@${host}`) return { outcome: 'inconclusive', code: 'other_account_matched' }
      return await refusesRandom(signal, spec, user, own)
    })
  } catch (error) {
    return classify(error)
  }
}

interface Admitted {
  /** The account that the server matched. */
  readonly matched: string
  /** Why it is not the server that is on record; null if it is. */
  readonly doubt: string | null
}

async function loginAs(signal: AbortSignal, spec: SystemSpec, user: string, secret: Secret, own: OwnProbes): Promise<Admitted> {
  const link = await Link.open(spec.address, user, secret, signal)
  own.began(link.id)
  try {
    const [row] = await link.query<{ matched: string }>(signal, ['matched'], 'SELECT CURRENT_USER() AS matched')
    const facts = spec.server ? await serverFacts(link, signal) : {}
    return { matched: row?.matched ?? '', doubt: doubtOf(differenceOf(spec.server, { facts, run: null }, 0)) }
  } finally {
    await link.end()
    own.ended(link.id)
  }
}

/** A login of its own: after a refused COM_CHANGE_USER the server sleeps a second. */
async function refusesRandom(signal: AbortSignal, spec: SystemSpec, user: string, own: OwnProbes): Promise<Probe> {
  try {
    await loginAs(signal, spec, user, Secret.fromText(`${newId()}${newId()}`), own)
  } catch (error) {
    if (isWrongValue(error)) return { outcome: 'accepted', code: 'ok' }
    // A way of which our client cannot speak the plugin: it is not this value that it asks for.
    if (faultName(error) === 'AUTH_SWITCH_PLUGIN_ERROR') return { outcome: 'accepted', code: 'ok' }
    throw error
  }
  return { outcome: 'inconclusive', code: 'any_password_accepted' }
}

function classify(error: unknown): Probe {
  if (isWrongValue(error)) return { outcome: 'refused', code: faultName(error) }
  if (serverErrno(error) !== null) return { outcome: 'inconclusive', code: faultName(error) }
  if (isCode(error, 'target_unreachable')) return { outcome: 'unreachable', code: error.detail ?? 'connection' }
  if (error instanceof RekeyError) return { outcome: 'inconclusive', code: error.code }
  const code = faultName(error)
  // The server answered, in a way our client does not speak.
  if (code.startsWith('AUTH_SWITCH') || code.startsWith('HANDSHAKE')) return { outcome: 'inconclusive', code }
  return { outcome: 'unreachable', code }
}
