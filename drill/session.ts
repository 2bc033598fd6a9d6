import mysql from 'mysql2/promise'
import pg from 'pg'
import { createClient } from 'redis'
import type { Secret } from '../src/kernel/index.ts'

const CONNECT_MS = 5_000
const CLOSE_MS = 500

/** Where and as whom to log in. */
export interface Login {
  readonly kind: 'postgres' | 'mariadb' | 'redis'
  readonly host: string
  readonly port: number
  readonly database: string
  readonly account: string
  /** What the client calls itself, where the system carries that. */
  readonly client: string
}

/** An open session, as an ordinary client library gives it. */
export interface Session {
  /** False once it was cut or closed. */
  alive(): boolean
  /** One statement or command. Rejects if the session is dead. */
  request(text: string): Promise<void>
  /** Waits for what is under way, but not long. Twice is harmless. */
  close(): Promise<void>
}

type Cut = () => void

/** Logs in. Rejects with the library's error. `onCut` is called once if the session ends by other than `close`. */
export function openSession(login: Login, secret: Secret, onCut: Cut = () => {}): Promise<Session> {
  return secret.revealText((password) => OPEN[login.kind](login, password, onCut))
}

const OPEN = { postgres: openPostgres, mariadb: openMariadb, redis: openRedis } as const

/** True if the error says that the value is not accepted, not that something else went wrong. */
export function isRefusal(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const reply = error instanceof Error ? error.message.split(' ')[0] : ''
  return ['28P01', '28000', 'ER_ACCESS_DENIED_ERROR'].includes(code) || reply === 'WRONGPASS'
}

/** Whether a session still stands, and who is told when it falls. */
class Standing {
  #is: 'open' | 'closing' | 'cut' = 'open'
  readonly #onCut: Cut

  constructor(onCut: Cut) {
    this.#onCut = onCut
  }

  get open(): boolean {
    return this.#is === 'open'
  }

  readonly cut = (): void => {
    if (this.#is !== 'open') return
    this.#is = 'cut'
    this.#onCut()
  }

  /** True the first time. */
  closing(): boolean {
    const first = this.#is === 'open'
    if (first) this.#is = 'closing'
    return first
  }
}

async function openPostgres({ host, port, database, account, client: name }: Login, password: string, onCut: Cut): Promise<Session> {
  const standing = new Standing(onCut)
  const client = new pg.Client({
    host,
    port,
    database,
    user: account,
    password,
    application_name: name,
    connectionTimeoutMillis: CONNECT_MS,
  })
  client.on('error', standing.cut).on('end', standing.cut)
  try {
    await client.connect()
  } catch (error) {
    standing.closing()
    // Not waited for: after a refusal the answer may never come.
    void client.end().catch(() => {})
    throw error
  }
  return {
    alive: () => standing.open,
    request: async (text) => void (await client.query(text)),
    close: async () => void (standing.closing() && (await within(client.end()))),
  }
}

async function openMariadb({ host, port, database, account }: Login, password: string, onCut: Cut): Promise<Session> {
  const standing = new Standing(onCut)
  const connection = await mysql.createConnection({ host, port, database, user: account, password, connectTimeout: CONNECT_MS })
  connection.on('error', standing.cut)
  connection.on('end', standing.cut)
  return {
    alive: () => standing.open,
    request: async (text) => void (await connection.query(text)),
    async close() {
      if (standing.closing()) await within(connection.end())
      connection.destroy()
    },
  }
}

async function openRedis({ host, port, account, client: name }: Login, password: string, onCut: Cut): Promise<Session> {
  const standing = new Standing(onCut)
  const socket = { host, port, connectTimeout: CONNECT_MS, reconnectStrategy: false as const }
  const client = createClient({ username: account, password, ...(name === '' ? {} : { name }), disableClientInfo: true, socket })
  client.on('error', standing.cut).on('end', standing.cut)
  try {
    await client.connect()
  } catch (error) {
    standing.closing()
    if (client.isOpen) client.destroy()
    throw error
  }
  return {
    alive: () => standing.open,
    request: async (text) => void (await client.sendCommand(text.split(' '))),
    close: async () => void (standing.closing() && (await within(client.close()))),
  }
}

/** A server that does not say goodbye must not hold anybody up. */
async function within(closing: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, CLOSE_MS)
  })
  await Promise.race([closing.then(undefined, () => {}), patience])
  clearTimeout(timer)
}
