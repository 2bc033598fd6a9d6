import type { Socket } from 'node:net'
import pg from 'pg'
import { isCode, isUntrusted, type Log, messageOf, RekeyError, sleep } from '../kernel/index.ts'
import type { Sql, Store, Tx } from './tx.ts'

const { Client, Pool, types } = pg

/** bigint columns hold counts and indexes far below 2^53. */
const parsers = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === types.builtins.INT8) return (text: string) => Number(text)
    return types.getTypeParser(oid as never, format as never)
  }) as typeof types.getTypeParser,
}

const PLANNER =
  '-c plan_cache_mode=force_generic_plan -c jit=off ' +
  '-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off'

/** How to open a database. */
export interface StoreOptions {
  /** How to reach the server; see `src/store/connection.ts`. */
  readonly connection: pg.ClientConfig
  /** Most connections at once. */
  readonly max: number
  readonly log: Log
  /** True: the server refuses every statement that would write. */
  readonly readOnly?: boolean
}

/** Statements are prepared once per connection, under a name: parsing and planning leave the hot path. The texts are constants, so few. */
const names = new Map<string, string>()
function nameOf(text: string): string {
  const known = names.get(text)
  if (known !== undefined) return known
  const name = `s${names.size + 1}`
  names.set(text, name)
  return name
}

/** Class 08 and 57P are a lost or stopping server; a caller that may try again finds `unavailable`. */
function fromDatabase(error: unknown): RekeyError {
  if (error instanceof RekeyError) return error
  const { code, constraint } = error as { code?: string; constraint?: string }
  const detail = [code, constraint, messageOf(error)].filter(Boolean).join(' ')
  // Of this fault the client library tells nothing but a text.
  if (code === undefined && messageOf(error) === NO_TLS_TEXT) return new RekeyError('unavailable', NO_TLS, { detail, hint: TLS_HINT })
  const way = waysIn(code ?? '')
  if (way !== null) return new RekeyError('unavailable', SHUT, { detail, cause: error, hint: way })
  const lost = code === undefined || code.startsWith('08') || code.startsWith('57P') || code.startsWith('E') || code.startsWith('53')
  if (lost) return new RekeyError('unavailable', LOST, { detail, cause: error, hint: 'Try again in a moment.' })
  return new RekeyError('database_failed', 'The database refused a statement.', { detail, cause: error })
}

const LOST = 'The database does not answer.'
const SHUT = 'The database does not let Rekey in.'
const NO_TLS = 'The database server offers no TLS, and DATABASE_URL asks for it.'
const NO_TLS_TEXT = 'The server does not support SSL connections'
const TLS_HINT =
  'Switch TLS on at the server (ssl = on). Where nobody can listen on the way, sslmode=disable does without; unless DATABASE_URL ' +
  'says otherwise, a server on another machine is reached with verify-full.'

/** What to do about a way in that is shut by how it is declared, or null. It may open again while Rekey runs, so it counts as lost. */
function waysIn(code: string): string | null {
  if (isUntrusted(code))
    return `Its certificate is not trusted (${code}): compare sslmode, sslrootcert and the host in DATABASE_URL with it.`
  if (code.startsWith('28'))
    return `Check the user, the password and sslmode in DATABASE_URL, and pg_hba.conf of the server (SQLSTATE ${code}).`
  if (code === '3D000') return 'The database of DATABASE_URL does not exist: make it, or correct the name.'
  return null
}

/** True if what failed is the way to Rekey's own database, and not what was asked of it. */
export function isDatabaseLost(error: unknown): boolean {
  return isCode(error, 'unavailable') && [LOST, SHUT, NO_TLS].includes(error.message)
}

/** The same error with where the database is, for whoever starts a process: who only asks it is not told. */
export function withPlace(error: unknown, { host = '', port, database }: pg.ClientConfig): unknown {
  if (!isDatabaseLost(error)) return error
  const { message, hint = '', detail } = error as RekeyError
  const place = `${database} at ${host.startsWith('/') ? host : `${host}:${port}`}`
  const words = message === LOST ? `The database ${place} does not answer.` : message.replace(/[.]$/, ` (${place}).`)
  const better = hint.startsWith('Try again') ? 'Start it, or correct DATABASE_URL.' : hint
  return new RekeyError('unavailable', words, { hint: better, cause: error, ...(detail !== undefined && { detail }) })
}

async function run<Row extends object>(client: pg.ClientBase | pg.Pool, text: string, params?: readonly unknown[]): Promise<Row[]> {
  try {
    const result = params
      ? await client.query<Row>({ name: nameOf(text), text, values: params as unknown[] })
      : await client.query<Row>(text)
    return result.rows
  } catch (error) {
    throw fromDatabase(error)
  }
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect()
  } catch (error) {
    throw fromDatabase(error)
  }
}

/** What is sent before the next turn of the event loop goes out as one packet: one wake-up of the server instead of one a statement. */
function together(client: pg.PoolClient): void {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection
  stream.cork()
  process.nextTick(() => stream.uncork())
}

async function transaction<T>(client: pg.PoolClient, use: (tx: Tx) => Promise<T>): Promise<T> {
  // Sent, not waited for: `begin`, and what was said to come later. The first of them that fails is why the transaction fails.
  const sent: Promise<unknown>[] = []
  const send = (statement: Promise<unknown>) => {
    statement.catch(() => undefined)
    sent.push(statement)
  }
  together(client)
  send(run(client, 'begin'))
  const later: Tx['later'] = (text, params) => {
    together(client)
    send(run(client, text, params))
  }
  try {
    const result = await use({ inTransaction: true, query: (text, params) => run(client, text, params), later })
    const committed = commit(client)
    committed.catch(() => undefined)
    for (const each of sent) await each
    await committed
    return result
  } catch (error) {
    await run(client, 'rollback').catch(() => undefined)
    for (const each of sent) await each
    throw error
  }
}

/** A transaction in which a statement failed answers a commit with a rollback, and no error. */
async function commit(client: pg.PoolClient): Promise<void> {
  const { command } = await client.query('commit').catch((error: unknown) => {
    throw fromDatabase(error)
  })
  if (command !== 'COMMIT') throw new RekeyError('database_failed', 'The database undid a transaction in which a statement had failed.')
}

/** Opens the pool; no connection is made before the first statement. */
export function openStore(options: StoreOptions): Store {
  // One plan per statement and connection: planning anew for each call cost more than running (3.2 ms against 0.6 ms for the widest).
  // Every statement goes by a key; but over young tables, without statistics, the planner would rather read them whole, and a
  // prepared plan stays. Measured: each rotation cost half again as much after 1,000 rotations.
  const settings = options.readOnly === true ? `${PLANNER} -c default_transaction_read_only=on` : PLANNER
  const config = { ...options.connection, types: parsers, application_name: 'rekey', keepAlive: true, pipeline: true, options: settings }
  const pool = new Pool({ ...config, max: options.max, connectionTimeoutMillis: 10_000, idleTimeoutMillis: 30_000 })
  pool.on('error', (error) => options.log.warn({ error: messageOf(error) }, 'an idle database connection was lost'))
  // Of its own from birth to death: the pool takes its listener away when it hands a connection out, and an error that stands in the same
  // packet as the end of its login would find nobody, which ends the process.
  const open = new Set<pg.PoolClient>()
  pool.on('connect', (client) => {
    client.on('error', () => undefined)
    open.add(client)
  })
  pool.on('remove', (client) => open.delete(client))

  async function onClient<T>(use: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await connect(pool)
    let broken = false
    const onError = () => {
      broken = true
    }
    client.on('error', onError)
    try {
      return await use(client)
    } catch (error) {
      if (isCode(error, 'unavailable')) broken = true
      throw error
    } finally {
      client.off('error', onError)
      client.release(broken)
    }
  }

  return {
    query: (text, params) => onClient((client) => run(client, text, params)),
    inTx: (use) => onClient((client) => transaction(client, use)),
    onConnection: (use) => onClient((client) => use({ query: (text, params) => run(client, text, params) } satisfies Sql)),
    listen: (channel, onNotice) => listen(config, channel, onNotice, options.log),
    close: () => closePool(pool, open),
  }
}

/** How long a statement that runs may take when the pool is closed: one that waits for somebody's lock would keep the process for ever. */
const LAST_STATEMENT_MS = 3_000

/** Statements that run may finish; then the connections are cut, and what becomes of them is as if the process had been killed. */
async function closePool(pool: pg.Pool, open: ReadonlySet<pg.PoolClient>): Promise<void> {
  const ended = pool.end()
  const cut = setTimeout(() => {
    for (const client of open) (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy()
  }, LAST_STATEMENT_MS)
  await ended.finally(() => clearTimeout(cut))
}

/** One connection of its own that comes back after every loss; a notice may be lost meanwhile, hence the call with '' at each reconnect. */
async function listen(config: pg.ClientConfig, channel: string, onNotice: (payload: string) => void, log: Log) {
  const stopping = new AbortController()
  let client: pg.Client | undefined
  async function attach(): Promise<pg.Client> {
    const next = new Client({ ...config, application_name: 'rekey-listen' })
    next.on('notification', (notice) => onNotice(notice.payload ?? ''))
    next.on('error', () => undefined)
    // An attempt that fails ends too, and before its rejection is seen: only the loop below may try again then, or loops would double.
    let attached = false
    let ended = false
    next.on('end', () => {
      ended = true
      if (attached && !stopping.signal.aborted) void reattach()
    })
    try {
      await next.connect()
      await next.query(`listen ${pg.escapeIdentifier(channel)}`)
      if (ended) throw new RekeyError('unavailable', 'The database does not answer.')
      attached = true
    } catch (error) {
      await next.end().catch(() => undefined)
      throw fromDatabase(error)
    }
    return next
  }
  async function reattach(): Promise<void> {
    for (let waitMs = 100; !stopping.signal.aborted; waitMs = Math.min(waitMs * 2, 2_000)) {
      await sleep(waitMs, stopping.signal)
      if (stopping.signal.aborted) return
      try {
        client = await attach()
        return onNotice('')
      } catch (error) {
        log.warn({ error: messageOf(error) }, 'the database connection for notices is lost, trying again')
      }
    }
  }
  client = await attach()
  return async () => {
    stopping.abort()
    await client?.end().catch(() => undefined)
  }
}
