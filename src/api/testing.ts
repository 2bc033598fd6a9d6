/** For tests only: a real server on a loopback port with a database of its own, a token, and what it logged. No worker runs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { connectorFor } from '../connectors/registry.ts'
import { rewrapCredentials, rotationFigures, Targets } from '../credential/index.ts'
import { logFigures, newSigningSeed, signerFromSeed } from '../evidence/index.ts'
import { ensureAdminToken, ensurePolicySet, rewrapChannels } from '../identity/index.ts'
import { consumeStepUpProof, OidcClients, rewrapLogins } from '../identity/login/index.ts'
import { AddressGuard, type Log, makeCtx, newId, sleep } from '../kernel/index.ts'
import { fileKeks, fingerprintKey, installationSecret, Keyring } from '../keys/index.ts'
import { Policies } from '../policy/index.ts'
import type { Store } from '../store/index.ts'
import { ADMITTED_MS } from './admission.ts'
import type { ApiParts, Figures } from './parts.ts'
import { type RunningServer, type ServerOptions, startServer } from './server.ts'

export interface Line {
  readonly level: string
  readonly fields: Record<string, unknown>
  readonly message: string
}

export interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Parsed, of any shape; null if it is not JSON. */
  readonly body: ReturnType<typeof JSON.parse>
}

export type Held = Pick<Answered, 'status' | 'body'>

interface Sending {
  readonly body?: unknown
  readonly headers?: Record<string, string>
  readonly token?: string | null
}

export class TestServer {
  readonly db: TestDatabase
  readonly parts: ApiParts
  readonly token: string
  readonly lines: Line[]
  readonly folder: string
  readonly #server: RunningServer

  private constructor(db: TestDatabase, parts: ApiParts, token: string, lines: Line[], folder: string, server: RunningServer) {
    this.db = db
    this.parts = parts
    this.token = token
    this.lines = lines
    this.folder = folder
    this.#server = server
  }

  static async start(options: Partial<ServerOptions> = {}): Promise<TestServer> {
    const db = await freshDatabase()
    const folder = mkdtempSync(join(tmpdir(), 'rekey-api-'))
    const lines: Line[] = []
    const write = (level: string) => (fields: Record<string, unknown>, message: string) => void lines.push({ level, fields, message })
    const log: Log = { info: write('info'), warn: write('warn'), error: write('error') }
    const ctx = makeCtx('test', 'test', { log })
    const parts = await partsOf(db.store, folder)
    let token = ''
    await ensureAdminToken(db.store, ctx, async (text) => {
      token = text
    })
    const server = await startServer(parts, { listen: { host: '127.0.0.1', port: 0 }, ctx, ...options })
    return new TestServer(db, parts, token, lines, folder, server)
  }

  get url(): string {
    return this.#server.url
  }

  async send(method: string, path: string, { body, headers = {}, token = this.token }: Sending = {}): Promise<Answered> {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    const json = /json/.test(answer.headers.get('content-type') ?? '') && text !== ''
    return { status: answer.status, headers: answer.headers, text, body: json ? JSON.parse(text) : null }
  }

  get(path: string): Promise<Answered> {
    return this.send('GET', path)
  }

  post(path: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<Answered> {
    return this.send('POST', path, { body, headers })
  }

  /** With any headers, Host and Origin included, which `fetch` does not let one choose. */
  raw(path: string, headers: Record<string, string>, method = 'GET'): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const sent = request(`${this.url}${path}`, { method, headers }, (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
      })
      sent.on('error', reject).end()
    })
  }

  /**
   * A request whose headers are sent now, and one byte of its body: admitted, unless it is refused at once. What it resolves with sends the
   * rest and waits for the answer.
   */
  async held(method: string, path: string, headers: Record<string, string>, body: object): Promise<() => Promise<Held>> {
    const text = JSON.stringify(body)
    const { hostname, port, host } = new URL(this.url)
    const socket = connect(Number(port), hostname)
    let got = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      got += chunk
    })
    socket.on('error', () => undefined)
    const ended = new Promise((resolve) => socket.once('close', resolve))
    const all = { host, connection: 'close', 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers }
    const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`${method} ${path} HTTP/1.1\r\n${head.join('')}\r\n${text.slice(0, 1)}`)
    await sleep(ADMITTED_MS * 5)
    return async () => {
      socket.write(text.slice(1))
      await ended
      const [, status = '0'] = /^HTTP\/1\.1 (\d+)/.exec(got) ?? []
      const sent = got.slice(got.indexOf('\r\n\r\n') + 4)
      return { status: Number(status), body: sent === '' ? null : JSON.parse(sent) }
    }
  }

  /** Declares a fleet through the API itself: `count` credentials `app-<n>` on one system. No server is there: nothing is contacted. */
  async declare(count: number, secret = newId()): Promise<void> {
    const input = { text: fleetText(count), folder: this.folder }
    const { digest } = (await this.post('/v1/fleet/diff', input)).body
    const value = Buffer.from(secret).toString('base64')
    const secrets = Object.fromEntries(['system:db', ...range(count).map((n) => `credential:app-${n}`)].map((name) => [name, value]))
    const applied = await this.post('/v1/fleet/apply', { ...input, digest, prune: false, secrets, authorities: {} })
    if (applied.status !== 200) throw new Error(`the fleet was not applied: ${applied.text}`)
  }

  /** What every test must leave behind: no answer with a status that its route does not declare. */
  undeclared(): readonly Line[] {
    return this.lines.filter(({ message }) => message === 'undeclared status')
  }

  async stop(): Promise<void> {
    await this.#server.close()
    await this.parts.targets.close(makeCtx('test', 'test'))
    await this.db.drop()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** The parts of a whole API on a migrated database. */
export async function partsOf(store: Store, folder: string): Promise<ApiParts> {
  const keyring = new Keyring([fileKeks(join(folder, 'kek'))])
  await keyring.start(store)
  return {
    store,
    policies: new Policies(await ensurePolicySet(store, makeCtx('test', 'test'))),
    keyring,
    signer: signerFromSeed('rekey', newSigningSeed()),
    assertionOf: consumeStepUpProof,
    oidc: new OidcClients(keyring, new AddressGuard()),
    targets: new Targets(connectorFor, keyring),
    guard: new AddressGuard(),
    fingerprintKey: fingerprintKey(await installationSecret(store, keyring, 'fingerprints')),
    shredAfterSeconds: 3600,
    destroyAfterSeconds: 0,
    stops: [],
    areas: [rewrapCredentials, rewrapLogins, rewrapChannels],
    version: '0.1.0',
    role: 'server',
    figures: figuresOf(store),
  }
}

export function figuresOf(store: Store): Figures {
  return { rotations: () => rotationFigures(store), evidence: () => logFigures(store) }
}

export const range = (count: number) => Array.from({ length: count }, (_, n) => n)

export function fleetText(count: number): string {
  const credentials = range(count).map(
    (n) => `  - name: app-${n}
    identity: app
    system: db
    account: app_${n}
    strategy: in-place
    current: { file: ./secret }
    consumers:
      - { name: app, activation: report }`,
  )
  return `version: 1
systems:
  - name: db
    connector: postgres
    address: { host: 127.0.0.1, port: 1, database: app, tls: off }
    root: { account: rekey_root, secret: { file: ./root } }
identities:
  - { name: app, kind: workload, owner: team, purpose: tests, environment: test }
credentials:
${credentials.join('\n')}
`
}
