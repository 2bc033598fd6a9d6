import { mkdtempSync } from 'node:fs'
import { createServer as httpServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as httpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { makeAuthority } from '../../test/lab/certificates.ts'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { AddressGuard, type Ctx, type ErrorCode, isCode, makeCtx, newId, Secret } from '../kernel/index.ts'
import { fileKeks, Keyring } from '../keys/index.ts'
import { allowed, principal } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import { type NewApproval, requestApproval } from './approval.actions.ts'
import { addChannel, addTeamMembers, joinIdentity, type NotifyParts, putTeam, readChannels, removeChannel } from './index.ts'
import type { ChannelFields } from './notify.model.ts'

export let db: TestDatabase
export let parts: NotifyParts
export let nowMs = Date.UTC(2026, 0, 1)
export const ctx: Ctx = makeCtx('test', 'test', { clock: { now: () => new Date(nowMs), monotonicMs: () => nowMs } })
/** Lets time pass. */
export const forward = (ms: number) => {
  nowMs += ms
}
export const authority = makeAuthority()
export const closers: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  db = await freshDatabase()
  const keyring = new Keyring([fileKeks(join(mkdtempSync(join(tmpdir(), 'rekey-notify-')), 'kek'))])
  await keyring.start(db.store)
  parts = { store: db.store, keyring, guard: new AddressGuard() }
})
afterAll(() => db.drop())
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
  for (const { name } of await readChannels(db.store)) await removeChannel(parts, ctx, may(), name)
})

export const tx = <T>(use: (tx: Tx) => Promise<T>): Promise<T> => db.store.inTx(use)
export const may = () => allowed(ctx, 'notify:configure')
export const code = (wanted: ErrorCode) => (error: unknown) => isCode(error, wanted)
export const KEY = Secret.fromText(`webhook key ${newId()}`)
export const PASSWORD = Secret.fromText(`mail password ${newId()}`)
export const LINK = 'https://rekey.example.com/console/'

export interface Got {
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** A receiver that answers as told, and keeps what it got. */
export async function receiver(options: { status?: () => number; tls?: boolean; location?: string; silent?: boolean } = {}) {
  const got: Got[] = []
  const answer = (request: IncomingMessage, response: { writeHead: (...args: never[]) => { end: (text: string) => void } }) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk
    })
    request.on('end', () => {
      got.push({ headers: request.headers, body })
      if (options.silent) return
      const headers = options.location === undefined ? {} : { location: options.location }
      response.writeHead(...([options.status?.() ?? 200, headers] as never[])).end('thank you')
    })
  }
  const server: Server = options.tls ? httpsServer(authority.issue({ hosts: ['127.0.0.1'] }), answer as never) : httpServer(answer as never)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { got, url: `${options.tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/hook` }
}

export interface GotMail {
  readonly from: string
  readonly to: readonly string[]
  readonly secure: boolean
  readonly user: string | null
  readonly text: string
}

export async function mailServer(options: SMTPServerOptions & { refuse?: boolean } = {}) {
  const got: GotMail[] = []
  const { refuse, ...rest } = options
  const server = new SMTPServer({
    authOptional: true,
    disableReverseLookup: true,
    logger: false,
    onAuth: ({ username, password }, _session, done) => {
      const right = PASSWORD.revealText((text) => text === password)
      if (right) done(null, { user: username })
      else done(new Error('no'))
    },
    onData: (stream, session, done) => {
      let text = ''
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      stream.on('end', () => {
        if (refuse) return done(Object.assign(new Error('mailbox of somebody is full'), { responseCode: 452 }))
        const { mailFrom, rcptTo } = session.envelope
        const from = mailFrom === false ? '' : mailFrom.address
        got.push({ from, to: rcptTo.map(({ address }) => address), secure: session.secure, user: session.user ?? null, text })
        done()
      })
    },
    ...rest,
  })
  // A client that does not trust its certificate ends the connection, which the server reports.
  server.on('error', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => new Promise((resolve) => server.close(() => resolve(undefined))))
  return { got, port: (server.server.address() as AddressInfo).port }
}

export const addWebhook = (url: string, ca: string | null = null) =>
  addChannel(parts, ctx, may(), { name: newId(), kind: 'webhook', secret: KEY, settings: { url, link: LINK, ca } })
export const addMail = (
  port: number,
  changes: Partial<Extract<ChannelFields, { kind: 'smtp' }>['settings']> = {},
  secret: Secret | null = null,
) =>
  addChannel(parts, ctx, may(), {
    name: newId(),
    kind: 'smtp',
    secret,
    settings: { host: '127.0.0.1', port, tls: 'none', from: 'rekey@example.com', user: null, link: LINK, ca: null, ...changes },
  })

export const joinPerson = (email: string | null = null) =>
  tx((tx) => joinIdentity(tx, ctx, { name: `x ${newId()}`, kind: 'human', source: 'api', ...(email && { labels: { email } }) }))
export const asked = {
  action: 'identity:offboard',
  subject: 'ada',
  what: { reason: 'the secret plan' },
  words: 'End ada for the secret plan.',
} as const
export const person = (id: string) =>
  principal({ id, identity: id, kind: 'person', name: 'Grace', aal: 2, authenticatedAt: ctx.clock.now() })
export let ada = ''
export let bob = ''
export let crew = ''
export let asker = ''
beforeEach(async () => {
  asker = await joinPerson()
  ada = await joinPerson('ada@example.com')
  bob = await joinPerson('bob@example.com')
  crew = await tx((tx) => putTeam(tx, ctx, { name: `t ${newId()}` }))
  await tx((tx) => addTeamMembers(tx, ctx, crew, { identities: [ada, bob] }))
})
export const ask = (changes: Partial<NewApproval> = {}) =>
  tx((tx) =>
    requestApproval(tx, ctx, {
      ...asked,
      factors: [{ team: crew, count: 1, aal: 2, passkey: false }],
      expiresSeconds: 86_400,
      requestedBy: person(asker),
      ...changes,
    }),
  )
export const deliveries = (approval: string) =>
  db.store.query<{ id: string; event: string; identity_id: string | null; state: string; attempts: number; fault: string | null }>(
    'select id, event, identity_id, state, attempts, fault from notify_delivery where approval_id = $1 order by created_at, id',
    [approval],
  )
/** Lets the wait of every notice pass. */
export const soon = () => db.store.query("update notify_delivery set due_at = now(), claimed_until = null where state = 'waiting'")
