import { type Ctx, newId, RekeyError, type Secret } from '../../kernel/index.ts'
import { sha256Hex } from '../../seal/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { newToken } from '../session.ts'
import { type Browser, loginRefused } from './model.ts'
import * as rows from './throttle.store.ts'

/** Failures in a row before an authenticator is of no use any more: NIST SP 800-63B-4 section 3.2.2. */
export const MOST_FAILURES = 100
/** Failures of one source that cost nothing, then the longest pause, and after how long without one it counts anew, seconds. */
const FREE_FAILURES = 5
const MOST_PAUSE_SECONDS = 60
const QUIET_SECONDS = 900

/** All of one network that a single customer is given: IPv6 addresses by their /64. */
function sourceKey({ source }: Browser): string {
  return `source:${source}`
}

/**
 * Counts a failed login against where it came from, and resolves with what to answer: `loginRefused`, or `too_many_requests` for a source
 * that failed often just now. A login that is right is never kept waiting: what is shown here (signatures, 256-bit tokens and codes) is
 * not guessed, and behind a proxy a stranger and the owner of an account have one address.
 */
export async function noteFailure(sql: Sql, browser: Browser): Promise<RekeyError> {
  const seconds = await rows.blockedSeconds(sql, sourceKey(browser))
  await rows.addSourceFailure(sql, sourceKey(browser), FREE_FAILURES, MOST_PAUSE_SECONDS, QUIET_SECONDS)
  if (seconds === 0) return loginRefused()
  return new RekeyError('too_many_requests', 'Too many logins from this address failed.', {
    hint: `Wait ${seconds === 1 ? '1 second' : `${seconds} seconds`}.`,
  })
}

/** Of whose failures a try counts: one known browser of the person, or all strangers together. */
export interface Try {
  readonly key: string
  readonly known: boolean
  /** Failures in a row if this one fails too. */
  readonly failures: number
}

/**
 * Takes one of the tries at an authenticator, before it is made. Null if there is none left for this browser: strangers who used theirs
 * up have not used up the owner's, whose browser is known from an earlier login.
 */
export async function takeTry(sql: Sql, browser: Browser, passkey: string, identity: string): Promise<Try | null> {
  const device = browser.device === null ? null : await rows.knownDevice(sql, sha256Hex(browser.device), identity)
  const key = device === null ? `passkey:${passkey}:strangers` : `passkey:${passkey}:device:${device}`
  const failures = await rows.takeTry(sql, key, MOST_FAILURES)
  return failures === null ? null : { key, known: device !== null, failures }
}

/** The try succeeded: its failures were not in a row any more. */
export async function forgetTry(sql: Sql, { key }: Try): Promise<void> {
  await rows.forget(sql, key)
}

/** The passkey is gone. */
export async function forgetTries(tx: Tx, passkey: string): Promise<void> {
  await rows.forgetAll(tx, `passkey:${passkey}:`)
}

/** Makes the browser known to this person; resolves with what it keeps. */
export async function rememberDevice(tx: Tx, ctx: Ctx, browser: Browser, identity: string): Promise<Secret> {
  const device = browser.device ?? newToken()
  await rows.keepDevice(tx, newId(ctx.clock.now().getTime()), sha256Hex(device), identity)
  return device
}
