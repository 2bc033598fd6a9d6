import { type Ctx, RekeyError, sleep } from '../../kernel/index.ts'
import type { Mark } from '../contract.ts'
import { serverErrno } from './faults.ts'
import type { Link } from './link.ts'
import { type AccountName, mayMatchHost } from './names.ts'

/** Who has connected and not yet logged in is shown under this name. */
const UNAUTHENTICATED = 'unauthenticated user'
/** A login that began before the mark is given so long to end by itself. */
const LOGIN_GRACE_MS = 2_000
const FIRST_LOOK_MS = 5
const LATEST_LOOK_MS = 100

/**
 * A place in the order of one server's sessions: when the server started, when the mark was taken (both its own Unix seconds), and the
 * number of a session that began at that moment. Numbers only grow, but start anew with the server.
 */
export interface Place {
  readonly start: number
  readonly at: number
  readonly id: number
}

/** When the server started and what its time is. Both come from the same clock reading, so a clock that is set does not change `start`. */
export async function serverTimes(link: Link, signal: AbortSignal): Promise<{ start: number; at: number }> {
  const [row] = await link.query<{ start: string | number; at: number }>(
    signal,
    ['start', 'at'],
    `SELECT UNIX_TIMESTAMP() - VARIABLE_VALUE AS start, UNIX_TIMESTAMP() AS at
       FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'`,
  )
  const [start, at] = [Number(row?.start), Number(row?.at)]
  if (!Number.isInteger(start) || !Number.isInteger(at)) throw new RekeyError('target_conflict', 'MariaDB did not tell its time.')
  return { start, at }
}

export function formatMark({ start, at, id }: Place): Mark {
  return `${start}:${at}:${id}`
}

/** Throws `bad_input` for what is not a mark of this connector. */
export function parseMark(mark: Mark): Place {
  const parts = /^(\d{1,15}):(\d{1,15}):(\d{1,15})$/.exec(mark)
  if (!parts) throw new RekeyError('bad_input', 'Not a mark of MariaDB.')
  const [start = 0, at = 0, id = 0] = parts.slice(1).map(Number)
  return { start, at, id }
}

/**
 * On which side of the mark a session lies, on a server that started at `start`. A server that started after the mark (or in its
 * second) has no older sessions. One that started at another time before it is not the server of the mark: nothing is known, and
 * `before` errs on the safe
 * side (such a session proves nothing and is ended). So does the moment between the change and the mark: who logs in then counts as before.
 */
export function isAfter(place: Place, start: number, id: number): boolean {
  if (start === place.start) return id > place.id
  return start >= place.at
}

export interface Row {
  readonly id: number
  readonly user: string
  readonly from: string
}

/** Sessions of the user name and logins that are under way, ours left out. Throws `target_not_authorised` without the right to see all. */
export async function listSessions(link: Link, signal: AbortSignal, user: string, own: readonly number[]): Promise<Row[]> {
  // Without PROCESS the list shows only our own sessions, without a word. This table refuses aloud (1227).
  await link.query(signal, ['seen'], 'SELECT 1 AS seen FROM information_schema.INNODB_METRICS LIMIT 1')
  const rows = await link.list<{ id: number | string; user: string; host: string | null }>(
    signal,
    ['id', 'user', 'host'],
    'SELECT ID AS id, USER AS user, HOST AS host FROM information_schema.PROCESSLIST WHERE USER IN (?, ?) ORDER BY ID',
    [user, UNAUTHENTICATED],
  )
  // The list compares names without regard to case; accounts do not.
  return rows
    .map((row) => ({ id: Number(row.id), user: row.user, from: row.host ?? '' }))
    .filter((row) => (row.user === user || row.user === UNAUTHENTICATED) && !own.includes(row.id))
}

/** The other accounts with the same user name, by their hosts. */
export async function otherHosts(link: Link, signal: AbortSignal, { user, host }: AccountName): Promise<string[]> {
  const rows = await link.query<{ host: string }>(signal, ['host'], 'SELECT Host AS host FROM mysql.global_priv WHERE User = ?', [user])
  return rows.map((row) => row.host).filter((each) => each !== host)
}

/**
 * Whose session it is, since the list does not say which host pattern was matched: `ours`, `doubtful` if the host fits several accounts
 * of that user name, `other` if it does not fit this one.
 */
export function belongs(account: AccountName, others: readonly string[], from: string): 'ours' | 'doubtful' | 'other' {
  if (others.length === 0) return 'ours'
  if (!mayMatchHost(account.host, from)) return 'other'
  return others.some((other) => mayMatchHost(other, from)) ? 'doubtful' : 'ours'
}

export interface Ending {
  readonly account: AccountName
  /** Null: all of them. */
  readonly before: Place | null
  /** When the server started, from `serverTimes`. */
  readonly start: number
  readonly own: () => readonly number[]
  readonly withinMs: number
}

/**
 * Kills the account's sessions and looks until they are gone; resolves with how many there were. A login that began before the mark
 * counts too: it may have read the old value and be finished with it after our last look, so it is waited for, then cut.
 */
export async function killSessions(ctx: Ctx, link: Link, signal: AbortSignal, ending: Ending): Promise<number> {
  const { account, before, start, own, withinMs } = ending
  const others = await otherHosts(link, signal, account)
  const began = ctx.clock.monotonicMs()
  const newestAtFirst = { id: Number.POSITIVE_INFINITY }
  const ended = new Set<number>()
  for (let wait = FIRST_LOOK_MS; ; wait = Math.min(wait * 2, LATEST_LOOK_MS)) {
    const seen = await listSessions(link, signal, account.user, own())
    // Without a mark, logins that begin while we look are not ours to wait for.
    if (ended.size === 0 && newestAtFirst.id === Number.POSITIVE_INFINITY) newestAtFirst.id = Math.max(0, ...seen.map((row) => row.id))
    const due = seen.filter((row) =>
      before === null ? row.id <= newestAtFirst.id || row.user === account.user : !isAfter(before, start, row.id),
    )
    const mine = due.filter((row) => row.user === account.user && belongs(account, others, row.from) !== 'other')
    const logins = due.filter((row) => row.user !== account.user)
    if (mine.length + logins.length === 0) return ended.size
    const waited = ctx.clock.monotonicMs() - began
    if (waited > withinMs) throw new RekeyError('target_conflict', 'Sessions of the account do not end.', { detail: `${mine.length} left` })
    for (const row of mine) {
      if (!ended.has(row.id)) await kill(link, signal, row.id)
      ended.add(row.id)
    }
    if (waited > LOGIN_GRACE_MS) for (const row of logins) await kill(link, signal, row.id)
    await sleep(wait, signal)
  }
}

async function kill(link: Link, signal: AbortSignal, id: number): Promise<void> {
  try {
    await link.run(signal, `KILL CONNECTION ${id}`)
  } catch (error) {
    // It ended by itself.
    if (serverErrno(error) !== 1094) throw error
  }
}
