import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { openClient } from './client.ts'
import { EXIT, exitOf } from './exit.ts'
import { checkListener, parseListeners, reachedAt } from './listener.ts'

const STRANGER = 65_534
const isRoot = process.getuid?.() === 0
const own = process.getuid?.() ?? -1
const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'

const folder = mkdtempSync(join(tmpdir(), 'rekey-listener-'))
const tokenFile = join(folder, 'token')
writeFileSync(tokenFile, 'the-token\n', { mode: 0o600 })
const children: ChildProcess[] = []
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

/** A row as the kernel writes it (`get_tcp4_sock`, `get_tcp6_sock`). */
function row(bytes: Uint8Array, port: number, state: number, uid: number): string {
  const hex = (number: number, width: number) => number.toString(16).toUpperCase().padStart(width, '0')
  const words = Buffer.from(bytes).swap32().toString('hex').toUpperCase()
  const remote = `${'0'.repeat(words.length)}:0000`
  const rest = `00000000:00000000 00:00000000 00000000 ${String(uid).padStart(5)}        0 12345 1 00000000 100 0 0 10 0`
  return `   0: ${words}:${hex(port, 4)} ${remote} ${hex(state, 2)} ${rest}\n`
}

const rows = fc.array(
  fc.record({
    bytes: fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })),
    port: fc.integer({ min: 0, max: 65_535 }),
    state: fc.integer({ min: 1, max: 12 }),
    uid: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  }),
)

test('every listening socket of the list is read as it is, and no other', () => {
  fc.assert(
    fc.property(rows, (all) => {
      const text = HEAD + all.map(({ bytes, port, state, uid }) => row(bytes, port, state, uid)).join('')
      const listening = all.filter(({ state }) => state === 10)
      const expected = listening.map(({ bytes, port, uid }) => {
        const hex = Buffer.from(bytes).toString('hex')
        return { address: bytes.length === 4 ? `00000000000000000000ffff${hex}` : hex, port, uid }
      })
      expect(parseListeners(text)).toEqual(expected)
    }),
  )
})

test('a list with any row that is not understood is not believed at all', () => {
  const good = row(Uint8Array.of(127, 0, 0, 1), 7395, 10, 0)
  const char = fc.constantFrom('0', 'A', ' ', ':', 'z')
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 60, unit: char }), fc.boolean(), (bad, first) => {
      fc.pre(bad.trim() !== '')
      expect(parseListeners(HEAD + (first ? `${bad}\n${good}` : `${good}${bad}\n`))).toBeNull()
    }),
  )
  expect(parseListeners('')).toEqual([])
})

test.each([
  ['127.0.0.1', [127, 0, 0, 1], true],
  ['127.0.0.1', [0, 0, 0, 0], true],
  ['127.0.0.1', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1], true],
  ['127.0.0.1', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], true],
  ['127.0.0.1', new Array(16).fill(0), true],
  ['127.0.0.1', [127, 0, 0, 2], false],
  ['127.0.0.1', [10, 0, 0, 1], false],
  ['127.0.0.1', [...new Array(15).fill(0), 1], false],
  ['::1', [...new Array(15).fill(0), 1], true],
  ['::1', new Array(16).fill(0), true],
  ['::1', [0, 0, 0, 0], false],
  ['fe80::1', [0, 0, 0, 0], false],
])('a connection to %s reaches a socket at %j: %s', (address, bytes, reached) => {
  const all = parseListeners(HEAD + row(Uint8Array.from(bytes), 7395, 10, 7))
  expect(reachedAt(all ?? [], [address], 7395)).toHaveLength(reached ? 1 : 0)
  expect(reachedAt(all ?? [], [address], 7396)).toEqual([])
})

const config = (url: string, serverUid: number | null = null) => ({ url, tokenFile, serverUid, data: folder, color: false })

async function listening(host: string): Promise<{ server: Server; port: number }> {
  const server = createServer((_, response) => response.end('{"a":1}')).listen(0, host)
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

test.runIf(process.platform === 'linux').each([
  ['127.0.0.1', '127.0.0.1'],
  ['0.0.0.0', '127.0.0.1'],
  ['::', '127.0.0.1'],
  ['::ffff:127.0.0.1', '127.0.0.1'],
  ['::', '[::1]'],
  ['127.0.0.1', 'localhost'],
])('a server of ours at %s is spoken to at %s, and is a stranger if this user is not trusted', async (host, name) => {
  const { server, port } = await listening(host)
  try {
    const base = new URL(`http://${name}:${port}`)
    await checkListener(base, [own])
    await expect(checkListener(base, [own + 1])).rejects.toMatchObject({ code: 'forbidden' })
  } finally {
    server.close()
  }
  const error = await checkListener(new URL(`http://127.0.0.1:${port}`), [own]).catch((e) => e)
  expect(exitOf(error)).toBe(EXIT.noServer)
})

const PROGRAM = `
  const { writeSync } = require('node:fs')
  const server = require('node:net').createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      writeSync(1, 'received ' + bytes)
      socket.end('HTTP/1.1 200 OK\\r\\ncontent-length: 7\\r\\n\\r\\n{"a":2}')
    })
  })
  server.listen(Number(process.argv[1]), process.argv[2], () => writeSync(1, 'port ' + server.address().port + '\\n'))
  setInterval(() => undefined, 1000)
`

/** Another user's program at a port. Answers everything, and tells what it got. */
async function squat(host: string, port = 0): Promise<{ port: number; received: () => string; stop: () => Promise<void> }> {
  const child = spawn(process.execPath, ['-e', PROGRAM, String(port), host], { uid: STRANGER, gid: STRANGER, cwd: '/', env: {} })
  children.push(child)
  let text = ''
  child.stdout.on('data', (bytes) => {
    text += bytes
  })
  await once(child.stdout, 'data')
  const stop = async () => {
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  return { port: Number(/port (\d+)/.exec(text)?.[1]), received: () => /received[\s\S]*/.exec(text)?.[0] ?? '', stop }
}

const asRoot = test.runIf(isRoot && process.platform === 'linux')

asRoot.each([['127.0.0.1'], ['0.0.0.0'], ['::'], ['::ffff:127.0.0.1']])(
  'another user who took the port at %s gets nothing of a request (only root can try this)',
  async (host) => {
    const squatter = await squat(host)
    const client = await openClient(config(`http://127.0.0.1:${squatter.port}`), () => {})
    for (const ask of [() => client.get('/v1/status'), () => client.post('/v1/x', { secret: 'body' }, { startsWork: true })]) {
      await expect(ask()).rejects.toMatchObject({
        code: 'forbidden',
        message: expect.stringContaining(`user ${STRANGER}`),
        hint: expect.stringContaining('REKEY_SERVER_UID'),
      })
    }
    // It does listen and tell what it gets: whoever names it as his server speaks to it. That is all it ever got.
    const named = await openClient(config(`http://127.0.0.1:${squatter.port}`, STRANGER), () => {})
    expect(await named.get('/v1/status?named')).toEqual({ a: 2 })
    await squatter.stop()
    expect(squatter.received()).toMatch(/^received GET \/v1\/status\?named [\s\S]*authorization: Bearer the-token/)
    expect(squatter.received().match(/received/g)).toHaveLength(1)
  },
)

asRoot('the owner of the token file may be the server (only root can try this)', async () => {
  const squatter = await squat('127.0.0.1')
  const given = join(folder, 'given')
  writeFileSync(given, 'the-token\n', { mode: 0o600 })
  chownSync(given, STRANGER, STRANGER)
  chmodSync(folder, 0o711)
  const client = await openClient({ ...config(`http://127.0.0.1:${squatter.port}`), tokenFile: given }, () => {})
  expect(await client.get('/v1/status')).toEqual({ a: 2 })
  await squatter.stop()
})

asRoot('a port that changes hands between two requests of one client gets nothing (only root can try this)', async () => {
  const { server, port } = await listening('127.0.0.1')
  const client = await openClient(config(`http://127.0.0.1:${port}`), () => {})
  expect(await client.get('/v1/status')).toEqual({ a: 1 })
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  const squatter = await squat('127.0.0.1', port)
  await expect(client.get('/v1/status')).rejects.toMatchObject({ code: 'forbidden' })
  await squatter.stop()
  expect(squatter.received()).toBe('')
})

test.runIf(process.platform === 'linux')("this machine's own lists are understood", () => {
  for (const path of ['/proc/net/tcp', '/proc/net/tcp6']) expect(parseListeners(readFileSync(path, 'latin1')), path).not.toBeNull()
})
