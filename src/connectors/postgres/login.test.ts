/** What a server of somebody else can make a probe believe: nothing. Real logins are in contract.test.ts and postgres.test.ts. */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { makeCtx, Secret } from '../../kernel/index.ts'
import type { Probe } from '../contract.ts'
import { postgres } from './index.ts'

const VALUE = 'a-value-that-nobody-may-hear'
const ctx = makeCtx('test', 'login')
const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

/** One message of the server: letter, length, body. */
function said(kind: string, body: Buffer | string): Buffer {
  const head = Buffer.from(`${kind}\0\0\0\0`, 'latin1')
  head.writeInt32BE(Buffer.byteLength(body) + 4, 1)
  return Buffer.concat([head, Buffer.from(body)])
}

function auth(way: number, rest = ''): Buffer {
  const code = Buffer.alloc(4)
  code.writeInt32BE(way)
  return said('R', Buffer.concat([code, Buffer.from(rest)]))
}

const SASL = auth(10, 'SCRAM-SHA-256\0\0')
const OK = auth(0)
const READY = said('Z', 'I')
const refusal = (state: string) => said('E', `SFATAL\0VFATAL\0C${state}\0Mrefused ${VALUE}\0\0`)

/** The challenge to the nonce that the client just sent. */
function challenge(heard: Buffer, iterations = 4096): Buffer {
  const nonce = /r=([A-Za-z0-9+/]+)$/.exec(heard.toString('latin1'))?.[1] ?? ''
  return auth(11, `r=${nonce}server,s=${Buffer.alloc(16, 7).toString('base64')},i=${iterations}`)
}

type Reply = Buffer | ((heard: Buffer) => Buffer)

/** A server that gives these replies in turn, one to each write of the client, and closes behind the last. */
async function probed(replies: readonly Reply[], tls: 'off' | 'require' = 'off'): Promise<{ probe: Probe; heard: Buffer }> {
  const chunks: Buffer[] = []
  const server = createServer((socket: Socket) => {
    let turn = 0
    socket
      .on('error', () => undefined)
      .on('data', (chunk) => {
        chunks.push(chunk)
        const reply = replies[turn++]
        if (reply !== undefined) socket.write(typeof reply === 'function' ? reply(chunk) : reply)
        if (turn >= replies.length) socket.end()
      })
  }).listen(0, '127.0.0.1')
  closing.push(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const address = { host: '127.0.0.1', port, tls }
  const target = postgres.open({ name: 'x', address, rootAccount: 'root', rootSecrets: [], timeoutMs: 2_000, concurrent: 1 })
  const probe = await target.probe(ctx, 'svc', Secret.fromText(VALUE))
  await target.close()
  expect(JSON.stringify(probe)).not.toContain(VALUE)
  expect(Buffer.concat(chunks).includes(VALUE)).toBe(false)
  return { probe, heard: Buffer.concat(chunks) }
}

describe('a server that does not know the verifier cannot make a value look accepted', () => {
  const cases: readonly [string, readonly Reply[], string][] = [
    ['it lets in without the end of SCRAM', [SASL, challenge, Buffer.concat([OK, READY])], 'SERVER_NOT_PROVEN'],
    ['it says ready and never that the login is good', [Buffer.concat([SASL, READY])], 'NOT_POSTGRESQL'],
    ['it lets in right after it asked', [Buffer.concat([SASL, OK, READY])], 'SERVER_NOT_PROVEN'],
    [
      'it ends with a signature of nothing',
      [SASL, challenge, Buffer.concat([auth(12, `v=${'A'.repeat(43)}=`), OK, READY])],
      'SERVER_NOT_PROVEN',
    ],
    ['it ends before it challenged', [Buffer.concat([SASL, auth(12, 'v=AAAA'), OK, READY])], 'SERVER_NOT_PROVEN'],
    ['it challenges another nonce', [SASL, auth(11, 'r=other,s=AAAA,i=4096')], 'NOT_SCRAM'],
    ['it asks for more work than anybody needs', [SASL, (heard) => challenge(heard, 900_000)], 'NOT_SCRAM'],
    ['it asks in the clear', [auth(3)], 'CLEARTEXT_ASKED'],
    ['it falls back from SCRAM to MD5', [Buffer.concat([SASL, auth(5, 'salt'), OK, READY])], 'LOGIN_UNSUPPORTED'],
    ['it knows other mechanisms only', [auth(10, 'SCRAM-SHA-1\0\0')], 'LOGIN_UNSUPPORTED'],
    ['it challenges without having asked', [auth(11, 'r=x,s=AAAA,i=1')], 'LOGIN_UNSUPPORTED'],
    ['it announces a message without end', [Buffer.from([0x52, 0x7f, 0xff, 0xff, 0xff])], 'NOT_POSTGRESQL'],
    ['it announces a message shorter than its length', [Buffer.from([0x52, 0, 0, 0, 3])], 'NOT_POSTGRESQL'],
    ['it speaks something else', [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')], 'NOT_POSTGRESQL'],
    ['it hangs up', [Buffer.alloc(0)], 'CLOSED'],
  ]
  test.each(cases)('%s', async (_what, replies, code) => {
    expect((await probed(replies)).probe).toEqual({ outcome: 'unreachable', code })
  })

  test('it lets in by MD5, which shows nothing, and root is not there to see it', async () => {
    const { probe } = await probed([auth(5, 'salt'), Buffer.concat([OK, READY])])
    expect(probe).toEqual({ outcome: 'inconclusive', code: 'server_not_proven' })
  })

  test('it says ready without a password: that says nothing of the value', async () => {
    const { probe } = await probed([Buffer.concat([OK, READY])])
    expect(probe).toEqual({ outcome: 'inconclusive', code: 'no_password_asked' })
  })
})

describe('a refusal counts only after a password was asked for', () => {
  test.each([
    ['after a challenge was answered', [SASL, challenge, refusal('28P01')], 'refused'],
    ['before anything was asked', [refusal('28P01')], 'inconclusive'],
    ['of another kind', [SASL, challenge, refusal('53300')], 'inconclusive'],
  ] as const)('%s', async (_what, replies, outcome) => {
    expect((await probed(replies)).probe.outcome).toBe(outcome)
  })
})

test('a server that refuses TLS, or puts something behind its yes, hears nothing of the login', async () => {
  for (const reply of [Buffer.from('N'), Buffer.concat([Buffer.from('S'), SASL]), refusal('28P01')]) {
    const { probe, heard } = await probed([reply], 'require')
    expect(probe).toEqual({ outcome: 'unreachable', code: 'TLS_NOT_OFFERED' })
    expect(heard.length).toBe(8)
  }
})

test('whatever a server says, nothing is accepted and nothing is thrown', async () => {
  const kind = fc.constantFrom('R', 'E', 'S', 'K', 'Z', 'N', 'X', '\0')
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.tuple(kind, fc.uint8Array({ maxLength: 30 })).map(([letter, body]) => said(letter, Buffer.from(body))),
    fc.constantFrom(SASL, OK, READY, auth(5, 'salt'), auth(12, 'v=AAAA'), refusal('28P01')),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(any, { minLength: 1, maxLength: 5 }), async (replies) => {
      const all = Buffer.concat(replies)
      const { probe } = await probed([all])
      expect(probe.outcome).not.toBe('accepted')
    }),
    { numRuns: 200 },
  )
})
