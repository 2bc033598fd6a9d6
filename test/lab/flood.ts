/** Servers that never stop talking: what a hostile or broken target can send to a client. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { type Listener, startListener } from './ports.ts'

/** What is said without end, once the greeting is over. */
export interface Flood {
  readonly connector: 'postgres' | 'mariadb' | 'redis'
  /** What the client does there. */
  readonly call: 'probe' | 'discover'
  /** Answers what the client says, in turn. The last one is followed by the flood. */
  readonly before: readonly Buffer[]
  /** Whether the server speaks first. */
  readonly greets: boolean
  /** Said once, and then `again` for ever. */
  readonly begin: Buffer
  readonly again: Buffer
  /** What must come of it, where that is not that the answer was too long. */
  readonly told?: string
}

const MIB = 1024 * 1024
const text = (words: string) => Buffer.from(words, 'latin1')
const many = (one: Buffer) => Buffer.concat(Array.from({ length: Math.ceil((256 * 1024) / one.length) }, () => one))
/** Packets of MariaDB with this body, numbered from `first` on for ever. */
const numbered = (first: number, body: Buffer) =>
  many(Buffer.concat(Array.from({ length: 256 }, (_, at) => packet((first + at) % 256, body))))
const filler = Buffer.alloc(MIB, 'a')

/** A message of PostgreSQL. */
function message(kind: string, body: string): Buffer {
  const head = Buffer.from(`${kind}\0\0\0\0`, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, text(body)])
}

/** A packet of MariaDB. */
function packet(sequence: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([body.length & 0xff, (body.length >> 8) & 0xff, body.length >> 16, sequence]), body])
}

const GREETING = packet(
  0,
  Buffer.concat([
    text('\x0a5.5.5-10.11.0-MariaDB\0\x07\0\0\0abcdefgh\0'),
    Buffer.from([0xdf, 0xf7, 0x2d, 2, 0, 0xff, 0x81, 21]),
    Buffer.alloc(10),
    text('ijklmnopqrst\0mysql_native_password\0'),
  ]),
)
const OK = (sequence: number) => packet(sequence, Buffer.from([0, 0, 0, 2, 0, 0, 0]))
const column = (name: string) => text(`\x03def\0\0\0${String.fromCharCode(name.length)}${name}\0\x0c\x2d\0\x64\0\0\0\xfd\0\0\0\0\0`)
/** The columns of the first thing that root asks. */
const ROWS = Buffer.concat([
  packet(1, Buffer.from([2])),
  packet(2, column('now')),
  packet(3, column('wrong')),
  packet(4, Buffer.from([0xfe, 0, 0, 2, 0])),
])
const LARGEST = Buffer.from([0xff, 0xff, 0xff, 4])
/** INFO and CLIENT ID as a Redis answers them, so that root is let in. */
const INFO = `redis_version:7.0.0\r\nrun_id:${'a'.repeat(40)}\r\nuptime_in_seconds:9\r\nconfig_file:\r\ntcp_port:1\r\n`
const INTRODUCED = text(`:7\r\n$${INFO.length}\r\n${INFO}\r\n*2\r\n$3\r\ndir\r\n$1\r\n/\r\n`)

const floods = {
  postgres: { connector: 'postgres', call: 'probe', before: [], greets: false, begin: Buffer.alloc(0) },
  mariadb: { connector: 'mariadb', call: 'probe', before: [], greets: true, begin: Buffer.alloc(0) },
  redis: { connector: 'redis', call: 'probe', before: [], greets: false, begin: Buffer.alloc(0) },
} as const
const NOTICE = many(message('N', `SNOTICE\0C00000\0M${'x'.repeat(6000)}\0\0`))
const PARAMETER = many(message('S', 'name\0value\0'))
const root = { ...floods.redis, call: 'discover', before: [text('+OK\r\n'), INTRODUCED] } as const
const query = { ...floods.mariadb, call: 'discover', before: [OK(2), OK(1)] } as const

/** What each is called, and what is said. */
export const FLOODS: Readonly<Record<string, Flood>> = {
  'PostgreSQL: notices during a probe': { ...floods.postgres, again: NOTICE },
  'PostgreSQL: notices during a root login': { ...floods.postgres, call: 'discover', again: NOTICE },
  'PostgreSQL: parameters during a root login': { ...floods.postgres, call: 'discover', again: PARAMETER },
  'PostgreSQL: one message of 2 GB': {
    ...floods.postgres,
    call: 'discover',
    begin: Buffer.from([0x52, 0x77, 0, 0, 0]),
    again: filler,
    told: 'target_unreachable NOT_POSTGRESQL',
  },
  'MariaDB: a greeting without end': { ...floods.mariadb, again: Buffer.concat([LARGEST, Buffer.alloc(0xffffff, 'a')]) },
  'MariaDB: rows without end': { ...query, begin: ROWS, again: numbered(5, text('\x01a\x01b')) },
  'MariaDB: a row without end': {
    ...query,
    begin: ROWS,
    again: Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 5]), Buffer.alloc(0xffffff, 'a')]),
  },
  'MariaDB: columns without end': {
    ...query,
    begin: packet(1, Buffer.from([0xfd, 0xff, 0xff, 0xff])),
    again: numbered(2, column('a')),
    told: 'target_unreachable NOT_MARIADB',
  },
  'MariaDB: rows that are not counted': {
    ...query,
    begin: ROWS,
    again: many(packet(9, text('\x01a\x01b'))),
    told: 'target_unreachable NOT_MARIADB',
  },
  'Redis: a line without end': { ...floods.redis, begin: text('+'), again: filler },
  'Redis: an error without end': { ...floods.redis, begin: text('-'), again: filler },
  'Redis: one text of 2 GB': { ...floods.redis, begin: text('$2000000000\r\n'), again: filler },
  'Redis: lists in lists': { ...floods.redis, again: many(text('*1\r\n')) },
  'Redis: a list of accounts without end': { ...root, begin: text('*2000000000\r\n'), again: many(text('$1\r\na\r\n')) },
  'Redis: lists in lists instead of accounts': { ...root, again: many(text('*1\r\n')) },
}

/** Starts a server that says this to everybody. */
export function startFlood(flood: Flood): Promise<Listener> {
  return startListener((socket) => speak(socket, flood))
}

async function speak(socket: Socket, { greets, before, begin, again }: Flood): Promise<void> {
  const stop = new AbortController()
  const { signal } = stop
  socket.once('close', () => stop.abort())
  // A client that has something to say first is heard, and so is the login after a greeting that can be answered.
  if (!greets) await once(socket, 'data', { signal })
  else if (before.length > 0) socket.write(GREETING)
  for (const [at, answer] of before.entries()) {
    if (greets || at > 0) await once(socket, 'data', { signal })
    socket.write(answer)
  }
  if (before.length > 0) await once(socket, 'data', { signal })
  socket.write(begin)
  socket.resume()
  while (!socket.destroyed) if (!socket.write(again)) await once(socket, 'drain', { signal })
}
