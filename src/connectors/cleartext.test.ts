/** What a server of somebody else can learn from us: it may ask for the value itself, and must not get it. */
import { createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { makeAuthority } from '../../test/lab/certificates.ts'
import { makeCtx, Secret } from '../kernel/index.ts'
import type { Address, Connector } from './contract.ts'
import { mariadb } from './mariadb/index.ts'
import { postgres } from './postgres/index.ts'
import { redis } from './redis/index.ts'

const VALUE = 'the-value-that-must-not-be-told'
const ctx = makeCtx('test', 'cleartext')
const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

/** A server that speaks as told and keeps what it hears. */
async function impostor(speak: (socket: Socket, heard: () => Buffer) => void): Promise<{ port: number; heard(): Buffer }> {
  const chunks: Buffer[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => chunks.push(chunk))
    speak(socket, () => Buffer.concat(chunks))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => server.close())
  const { port } = server.address() as { port: number }
  return { port, heard: () => Buffer.concat(chunks) }
}

async function probe(connector: Connector, port: number, way: Partial<Address> = {}): Promise<string> {
  const address = { host: '127.0.0.1', port, tls: 'off' as const, ...way }
  const spec = { name: 'x', address, rootAccount: 'root', rootSecrets: [Secret.fromText(VALUE)], timeoutMs: 2_000, concurrent: 1 }
  const target = connector.open(spec)
  try {
    return (await target.probe(ctx, 'svc', Secret.fromText(VALUE))).outcome
  } finally {
    await target.close()
  }
}

test('a PostgreSQL that asks for the password in the clear does not get it, and the probe proves nothing', async () => {
  // AuthenticationCleartextPassword: 'R', length 8, code 3.
  const asking = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3])
  const server = await impostor((socket) => socket.once('data', () => socket.write(asking)))
  expect(['unreachable', 'inconclusive']).toContain(await probe(postgres, server.port))
  expect(server.heard().length).toBeGreaterThan(8)
  expect(server.heard().includes(VALUE)).toBe(false)
})

/** A packet of the MySQL protocol: length (3 bytes, little-endian), sequence number, body. */
function packet(sequence: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([body.length & 0xff, body.length >> 8, 0, sequence]), body])
}

/** The greeting of protocol 10, as a server with `mysql_native_password` sends it. */
const GREETING = packet(
  0,
  Buffer.concat([
    Buffer.from('\u000a10.11.0-impostor\0', 'latin1'),
    Buffer.from([1, 0, 0, 0]),
    Buffer.from('12345678\0', 'latin1'),
    Buffer.from([0xff, 0xf7, 0x21, 0x02, 0x00, 0xff, 0x81, 21]),
    Buffer.alloc(10),
    Buffer.from('123456789012\0mysql_native_password\0', 'latin1'),
  ]),
)

test.each(['caching_sha2_password', 'sha256_password', 'mysql_clear_password'])(
  'a MariaDB that switches to %s gets no more than the answer to its first challenge',
  async (plugin) => {
    let answered = 0
    const server = await impostor((socket, heard) => {
      socket.write(GREETING)
      socket.once('data', () => {
        answered = heard().length
        socket.write(packet(2, Buffer.from(`\u00fe${plugin}\0${'s'.repeat(20)}\0`, 'latin1')))
      })
    })
    expect(['unreachable', 'inconclusive']).toContain(await probe(mariadb, server.port))
    expect(answered).toBeGreaterThan(20)
    expect(server.heard().length).toBe(answered)
    expect(server.heard().includes(VALUE)).toBe(false)
  },
)

/** Redis has no challenge: the value itself goes to whoever is spoken to, so that only the certificate protects it. */
test.each([
  ['verify-full', true],
  ['require', true],
  ['require', false],
] as const)('a Redis with a certificate of another authority under %s (authority named: %s)', async (tls, named) => {
  const [own, other] = [makeAuthority(), makeAuthority()]
  const chunks: Buffer[] = []
  const server = createTlsServer(other.issue({ hosts: ['127.0.0.1'] }), (socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      chunks.push(chunk)
      socket.write('-WRONGPASS no\r\n')
    })
  })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => server.close())
  const { port } = server.address() as { port: number }
  const outcome = await probe(redis, port, { tls, ...(named ? { ca: own.ca } : {}) })
  // Without an authority anybody is believed: the documents say so, and this is what it costs.
  expect([outcome, Buffer.concat(chunks).includes(VALUE)]).toEqual(named ? ['unreachable', false] : ['refused', true])
})
