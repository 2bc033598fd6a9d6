/** A PostgreSQL that is none: it knows names and the public identifier of the real one, and neither a value nor a verifier. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { startListener } from './ports.ts'

/** How it lets somebody in. `cut`: SCRAM is begun and never ended. `md5`: whatever is answered. `trust`: nothing is asked. */
export type ImpostorLogin = 'cut' | 'md5' | 'trust'

export interface ImpostorOptions {
  readonly root: string
  readonly rootLogin: ImpostorLogin
  /**
   * `scram`: an account is let in if the login fits the verifier that an ALTER ROLE brought, and else refused. `md5`: each is refused and
   * let in by turns, the first time refused.
   */
  readonly accounts: 'scram' | 'md5'
  /** What it says to be. */
  readonly systemIdentifier: string
  /** PEM texts; it then answers a request for TLS. */
  readonly tls?: { readonly cert: string; readonly key: string }
}

/** A server of somebody else, on a port of 127.0.0.1. */
export interface Impostor {
  readonly port: number
  /** What it was told to do as root, and by accounts. */
  readonly statements: readonly string[]
  /** The number of the server process that it tells to whoever it lets in as this application; default 4242. */
  onLogin: (application: string) => Promise<number>
  stop(): Promise<void>
}

/** What SCRAM needs of the server's side (RFC 5803). */
interface Verifier {
  readonly iterations: string
  readonly salt: string
  readonly stored: Buffer
  readonly server: Buffer
}

interface World extends ImpostorOptions {
  readonly verifiers: Map<string, Verifier>
  readonly tries: Map<string, number>
  readonly statements: string[]
  onLogin: (application: string) => Promise<number>
}

/** Starts it. It says yes to every statement. */
export async function startImpostor(options: ImpostorOptions): Promise<Impostor> {
  const world: World = { ...options, verifiers: new Map(), tries: new Map(), statements: [], onLogin: async () => 4242 }
  return Object.assign(world, await startListener((socket) => serve(socket, world)))
}

/** One message of the server: letter, length, body. */
function said(kind: string, ...body: readonly (string | Buffer)[]): Buffer {
  const bytes = Buffer.concat(body.map((part) => Buffer.from(part as string)))
  return Buffer.concat([Buffer.from(kind), int32(bytes.length + 4), bytes])
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

const auth = (way: number, rest = '') => said('R', int32(way), rest)
const READY = said('Z', 'I')

/** What arrives, cut into messages. The first ones have no letter. */
async function* messages(socket: Socket, letters: boolean): AsyncGenerator<{ kind: string; body: Buffer }, never> {
  const head = letters ? 1 : 0
  let data: Buffer = Buffer.alloc(0)
  for (;;) {
    while (data.length >= head + 4 && data.length >= head + data.readInt32BE(head)) {
      const end = head + data.readInt32BE(head)
      const next = { kind: data.toString('latin1', 0, head), body: data.subarray(head + 4, end) }
      data = data.subarray(end)
      yield next
    }
    const [chunk] = (await once(socket, 'data', { signal: closing(socket) })) as [Buffer]
    data = Buffer.concat([data, chunk])
  }
}

function closing(socket: Socket): AbortSignal {
  const stop = new AbortController()
  socket.once('close', () => stop.abort())
  return stop.signal
}

async function serve(plain: Socket, world: World): Promise<void> {
  let socket = plain
  let { body } = (await messages(socket, false).next()).value
  if (body.readInt32BE() === 80_877_103) {
    if (world.tls === undefined) return void socket.end('N')
    socket.write('S')
    socket = new TLSSocket(plain, { isServer: true, ...world.tls }).on('error', () => undefined)
    body = (await messages(socket, false).next()).value.body
  }
  const words = body.toString('utf8', 4).split('\0')
  const [user = '', application = ''] = ['user', 'application_name'].map((name) => words[words.indexOf(name) + 1])
  const inbox = messages(socket, true)
  const next = async () => (await inbox.next()).value
  const login = user === world.root ? () => rootLogin(socket, world, next) : world.accounts === 'md5' ? () => byTurns() : () => scram()
  const byTurns = async () => {
    socket.write(auth(5, 'salt'))
    await next()
    const tries = (world.tries.get(user) ?? 0) + 1
    world.tries.set(user, tries)
    return tries % 2 === 0
  }
  const scram = () => scramLogin(socket, world.verifiers.get(user), next)
  if (!(await login())) return void socket.end(said('E', 'SFATAL\0VFATAL\0C28P01\0Mx\0\0'))
  const pid = await world.onLogin(application)
  socket.write(Buffer.concat([auth(0), said('S', 'server_version\0', '18.1\0'), said('K', int32(pid), int32(1)), READY]))
  await answerAll(socket, world, next)
}

type Next = () => Promise<{ readonly kind: string; readonly body: Buffer }>

async function rootLogin(socket: Socket, { rootLogin: way }: World, next: Next): Promise<boolean> {
  if (way === 'trust') return true
  if (way === 'md5') {
    socket.write(auth(5, 'salt'))
    await next()
    return true
  }
  await challenge(socket, undefined, next)
  return true
}

interface Exchange {
  readonly bare: string
  readonly first: string
  readonly proof: string
}

/** Asks for SCRAM and hears the proof. */
async function challenge(socket: Socket, verifier: Verifier | undefined, next: Next): Promise<Exchange> {
  socket.write(auth(10, 'SCRAM-SHA-256\0\0'))
  const nonce = /r=(.*)$/.exec((await next()).body.toString())?.[1] ?? ''
  const { salt, iterations } = verifier ?? { salt: randomBytes(16).toString('base64'), iterations: '4096' }
  const first = `r=${nonce}${randomBytes(9).toString('base64')},s=${salt},i=${iterations}`
  socket.write(auth(11, first))
  return { bare: `n=*,r=${nonce}`, first, proof: (await next()).body.toString() }
}

async function scramLogin(socket: Socket, verifier: Verifier | undefined, next: Next): Promise<boolean> {
  const { bare, first, proof } = await challenge(socket, verifier, next)
  if (verifier === undefined) return false
  const [without = '', told = ''] = proof.split(',p=')
  const all = `${bare},${first},${without}`
  const signature = createHmac('sha256', verifier.stored).update(all).digest()
  const key = Buffer.from(told, 'base64').map((byte, at) => byte ^ (signature[at] ?? 0))
  if (!createHash('sha256').update(key).digest().equals(verifier.stored)) return false
  socket.write(auth(12, `v=${createHmac('sha256', verifier.server).update(all).digest('base64')}`))
  return true
}

const ALTER = /ALTER ROLE "?([^" ]+)"? PASSWORD 'SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):([^']+)'/

async function answerAll(socket: Socket, world: World, next: Next): Promise<void> {
  let prepared = ''
  for (;;) {
    const { kind, body } = await next()
    if (kind === 'X') return void socket.end()
    const text = body.toString()
    if (kind === 'P') prepared = text
    if (kind === 'P' || kind === 'Q') world.statements.push(text)
    if (kind === 'Q') socket.write(Buffer.concat([...simple(text, world), READY]))
    if (kind === 'S') socket.write(Buffer.concat([said('1'), said('2'), ...extended(prepared), READY]))
  }
}

function simple(text: string, world: World): Buffer[] {
  const [, account, iterations = '', salt = '', stored = '', server = ''] = ALTER.exec(text) ?? []
  if (account !== undefined) {
    world.verifiers.set(account, { iterations, salt, stored: Buffer.from(stored, 'base64'), server: Buffer.from(server, 'base64') })
  }
  if (text.includes('system_identifier')) return rows({ id: world.systemIdentifier })
  if (text.includes(' AS now')) return rows({ now: '1700000000000000', verifiers: 'f' })
  return rows(/mark/.test(text) ? { mark: '1700000000000000' } : {})
}

/** Nobody is ever logged in, but whoever is asked for by process and name. */
function extended(text: string): Buffer[] {
  if (text.includes('pg_terminate_backend')) return rows({ found: '0', hidden: '0', signalled: '0' })
  return rows(text.includes('AS here') ? { here: 't' } : {})
}

const [BOOL, INT4, TEXT] = [16, 23, 25]

/** One row of truth values, numbers of one digit and texts; none without columns. */
function rows(row: Readonly<Record<string, string>>): Buffer[] {
  const columns = Object.entries(row)
  if (columns.length === 0) return [said('n'), said('C', 'SELECT 0\0')]
  const count = int32(columns.length).subarray(2)
  const type = (value: string) => (/^[tf]$/.test(value) ? BOOL : /^\d$/.test(value) ? INT4 : TEXT)
  const describe = columns.map(([name, value]) =>
    Buffer.concat([Buffer.from(`${name}\0`), Buffer.alloc(6), int32(type(value)), Buffer.alloc(8)]),
  )
  const values = columns.map(([, value]) => Buffer.concat([int32(value.length), Buffer.from(value)]))
  return [said('T', count, ...describe), said('D', count, ...values), said('C', 'SELECT 1\0')]
}
