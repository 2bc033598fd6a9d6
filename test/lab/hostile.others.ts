/** What a hostile or broken MariaDB or Redis can say that neither says. */
import { once } from 'node:events'
import { type Listener, startListener } from './ports.ts'

const latin = (words: string) => Buffer.from(words, 'latin1')

/** A packet of MariaDB. */
function packet(sequence: number, body: Buffer | string | readonly number[] = ''): Buffer {
  const whole = typeof body === 'string' ? latin(body) : Buffer.from(body)
  return Buffer.concat([Buffer.from([whole.length & 0xff, whole.length >> 8, 0, sequence]), whole])
}

function greeting(plugin = 'mysql_native_password', can = 0xf7fff7ff & ~0x800): Buffer {
  const flags = Buffer.alloc(4)
  flags.writeUInt32LE(can >>> 0)
  const [low, high] = [flags.subarray(0, 2), flags.subarray(2)]
  const begin = latin('\x0a10.11.0-MariaDB\0\x01\0\0\x0012345678\0')
  const end = latin(`${'\0'.repeat(10)}123456789012\0${plugin}\0`)
  return packet(0, Buffer.concat([begin, low, Buffer.from([45, 2, 0]), high, Buffer.from([21]), end]))
}

const OK = packet(2, [0, 0, 0, 2, 0, 0, 0])
const greeted = (...packets: readonly Buffer[]) => [greeting(), Buffer.concat(packets)]
const asked = (...packets: readonly Buffer[]) => [greeting(), OK, Buffer.concat(packets)]
const COLUMN = latin('\x03def\0\0\0\x01a\0\x0c\x2d\0\x64\0\0\0\xfd\0\0\0\0\0')
const COLUMNS = Buffer.concat([packet(1, [1]), packet(2, COLUMN), packet(3, [0xfe, 0, 0, 2, 0])])

/** What is said by turns: the first as a greeting, each other to what comes. */
export const MARIADB: Readonly<Record<string, readonly Buffer[]>> = {
  'an empty greeting': [packet(0)],
  'a greeting of a version alone': [packet(0, [10])],
  'a greeting without end': [packet(0, [10, 65])],
  'an error without a code': [packet(0, [255])],
  'half a code': [packet(0, [255, 1])],
  'an old protocol': [packet(0, [9, 0, 0])],
  'a plugin that does not exist': [greeting('x')],
  'a server that can do nothing': [greeting('mysql_native_password', 0)],
  'a server that can do everything': [greeting('mysql_native_password', 0xffffffff)],
  'a greeting with a wrong number': [packet(7, greeting().subarray(4))],
  'an empty yes': greeted(packet(2, [0])),
  'a switch to nowhere': greeted(packet(2, [254])),
  'a switch without end': greeted(packet(2, [254, 65])),
  'a switch without a challenge': greeted(packet(2, '\xfemysql_native_password\0')),
  'a switch to the value in the clear': greeted(packet(2, '\xfemysql_clear_password\0')),
  'more of a login that did not begin': greeted(packet(2, [1]), packet(3, [1, 4])),
  'a yes of endless lengths': greeted(packet(2, [0, 255, 255, 255, 255, 255, 255, 255, 255, 255])),
  'a yes with a length that is none': greeted(packet(2, [0, 0, 0, 2, 64, 0, 0, 255, 255, 255])),
  'a yes with half a change of session': greeted(packet(2, [0, 0, 0, 2, 64, 0, 0, 0, 5, 0, 3, 9, 99])),
  'a yes and an error that nobody asked for': greeted(OK, packet(1, [0xff]), packet(1, [0xff, 1, 2, 35])),
  'a yes and nothing behind it, numbered': greeted(OK, packet(0), packet(0), packet(0)),
  'a yes with a wrong number': greeted(packet(9, [0, 0, 0, 2, 0, 0, 0])),
  'two hundred columns that do not come': asked(packet(1, [200]), packet(2, [3])),
  'a column that is cut off': asked(packet(1, [1]), packet(2, [3, 100, 101, 102]), packet(3, [254, 0, 0, 2, 0]), packet(4, [252])),
  'a file of ours': asked(packet(1, '\xfb/etc/passwd')),
  'a count of columns that is none': asked(packet(1, [255])),
  'a length in a column that is none': asked(packet(1, [1]), packet(2, [255, 255, 255])),
  'a length in a row that is none': asked(COLUMNS, packet(4, [255, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])),
  'a row of nothing': asked(COLUMNS, packet(4)),
  'answers that nobody asked for': asked(packet(1, [0, 0, 0, 2, 0, 0, 0]), ...Array.from({ length: 50 }, () => packet(1, [0xff]))),
}

const INFO = `redis_version:7.0.0\r\nrun_id:${'a'.repeat(40)}\r\nuptime_in_seconds:9\r\nconfig_file:\r\ntcp_port:1\r\n`
const root = (text: string) => [latin('+OK\r\n'), latin(`:7\r\n$${INFO.length}\r\n${INFO}\r\n*2\r\n$3\r\ndir\r\n$1\r\n/\r\n`), latin(text)]

/** What is said by turns to what comes; the last for ever. */
export const REDIS: Readonly<Record<string, readonly Buffer[]>> = {
  'lists in lists': [latin('*1\r\n'.repeat(200_000))],
  'an endless list': [latin('*2147483647\r\n')],
  'a text of a negative length': [latin('$-5\r\nabc\r\n')],
  'a text of no length at all': [latin('$99999999999999999999\r\n')],
  'a list of a negative length': [latin('*-7\r\n')],
  'the number of a later protocol': [latin('(123456789012345678901234567890\r\n')],
  'a map of a later protocol': [latin('%2\r\n+a\r\n+b\r\n+c\r\n+d\r\n')],
  'an attribute of a later protocol': [latin('|1\r\n+a\r\n+b\r\n+c\r\n')],
  'a push of a message': [latin('>3\r\n+message\r\n+x\r\n+y\r\n')],
  'a push of an invalidation': [latin('>2\r\n+invalidate\r\n*-1\r\n')],
  'a push of a number': [latin('>1\r\n:5\r\n+OK\r\n+OK\r\n+OK\r\n')],
  'a subscription that nobody asked for': [latin('*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n')],
  'a message that nobody asked for': [latin('*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n')],
  'fifty answers to one command': [latin('+OK\r\n'.repeat(50))],
  'all kinds of a later protocol': [latin('!21\r\nSYNTAX invalid syntax\r\n-ERR x\r\n,nan\r\n#t\r\n_\r\n=15\r\ntxt:Some string\r\n')],
  'no letter': [latin('\0\xff\r\n')],
  'a redirection': [latin('-MOVED 1 1.2.3.4:5\r\n-ASK x\r\n')],
  'an account that is a list of lists': root(`*1\r\n${'*1\r\n'.repeat(1000)}:1\r\n`),
  'accounts that are numbers': root('*2\r\n:1\r\n:2\r\n'),
  'accounts that are one text': root('$3\r\nabc\r\n'),
  nothing: root('*-1\r\n'),
}

const fill = (mib: number, piece: string) => piece.repeat(Math.floor((mib * 1024 * 1024) / piece.length))
const list = (mib: number, piece: string) => `*${Math.floor((mib * 1024 * 1024) / piece.length)}\r\n${fill(mib, piece)}`

/** Few bytes of a Redis that become much memory or much work: as long as an answer may be, which is 16 MiB for a list of accounts. */
export const HEAVY_REDIS: Readonly<Record<string, () => readonly Buffer[]>> = {
  'lists of thirty million in lists': () => [latin('*30000000\r\n'.repeat(25))],
  'lists of a hundred thousand in lists': () => [latin('*100000\r\n'.repeat(80_000))],
  'sets of thirty million in sets': () => [latin('~30000000\r\n'.repeat(25))],
  'maps of thirty million in maps': () => [latin('%30000000\r\n'.repeat(25))],
  'a push of thirty million': () => [latin('>30000000\r\n'.repeat(25))],
  'an attribute of thirty million': () => [latin('|30000000\r\n'.repeat(25))],
  'a number without end': () => [latin(`(${'9'.repeat(1_000_000)}`)],
  'errors for an answer': () => [latin(list(0.9, '-\r\n'))],
  'empty lists for accounts': () => root(list(15.9, '*0\r\n')),
  'empty texts for accounts': () => root(list(15.9, '$0\r\n\r\n')),
  'short texts for accounts': () => root(list(6, '$10\r\nan account\r\n')),
  'errors for accounts': () => root(list(15.9, '-\r\n')),
  'one long text': () => root(`*1\r\n$15000000\r\n${'x'.repeat(15_000_000)}\r\n`),
}

/** A column of this name and type, in the packet of this number. */
function column(name: string, type: number, number = 2): Buffer {
  const text = `${String.fromCharCode(name.length)}${name}`
  return packet(number, Buffer.concat([latin(`\x03def\0\0\0${text}\0\x0c\x2d\0\x64\0\0\0`), Buffer.from([type, 0, 0, 0, 0, 0])]))
}

/** So many packets with this body, numbered from `first` on: two hundred and fifty-six again and again. */
function numbered(first: number, count: number, body: Buffer): Buffer {
  const cycle = Buffer.concat(Array.from({ length: 256 }, (_, at) => packet((first + at) % 256, body)))
  return Buffer.alloc(count * (body.length + 4), cycle)
}
const rows = (mib: number, body: Buffer) => numbered(4, Math.floor((mib * 1024 * 1024) / (body.length + 4)), body)
const shown = (name: string, type: number, rest: Buffer) =>
  Buffer.concat([packet(1, [1]), column(name, type), packet(3, [0xfe, 0, 0, 2, 0]), rest])
/** A text of a row, as long as one packet of ours may be. */
const value = (text: string) =>
  Buffer.concat([Buffer.from([0xfd, text.length & 0xff, (text.length >> 8) & 0xff, text.length >> 16]), latin(text)])
function long(first: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([body.length & 0xff, (body.length >> 8) & 0xff, body.length >> 16, first]), body])
}
const NULL = Buffer.from([0xfb])
const VARCHAR = 0xfd
const said = (reply: Buffer) => [greeting(), OK, reply]
/** What root asks before it asks for the list of accounts, answered. */
const ready = (reply: Buffer) => {
  const cells = (...texts: readonly string[]) => Buffer.concat(texts.map((text) => latin(`${String.fromCharCode(text.length)}${text}`)))
  const table = (names: readonly string[], ...each: readonly Buffer[]) => {
    const after = 2 + names.length
    const end = packet(after + 1 + each.length, [0xfe, 0, 0, 2, 0])
    const head = names.map((name, at) => column(name, VARCHAR, 2 + at))
    return Buffer.concat([
      packet(1, [names.length]),
      ...head,
      packet(after, [0xfe, 0, 0, 2, 0]),
      ...each.map((one, at) => packet(after + 1 + at, one)),
      end,
    ])
  }
  const set = packet(1, [0, 0, 0, 2, 0, 0, 0])
  const time = table(['now', 'wrong'], cells('1700000000000000', '4294967295'))
  const facts = table(['Variable_name', 'Value'], cells('hostname', 'x'))
  const matched = table(['matched'], cells('root@%'))
  return [greeting(), OK, set, time, facts, matched, table(['version'], cells('10.11.0-MariaDB')), reply]
}
const ACCOUNTS = Buffer.concat([
  packet(1, [3]),
  ...['user', 'host', 'locked'].map((name, at) => column(name, VARCHAR, 2 + at)),
  packet(5, [0xfe, 0, 0, 2, 0]),
])
function accounts(mib: number, body: Buffer, ends = false): Buffer {
  const count = Math.floor((mib * 1024 * 1024) / (body.length + 4))
  return Buffer.concat([ACCOUNTS, numbered(6, count, body), ends ? packet((6 + count) % 256, [0xfe, 0, 0, 2, 0]) : NULL.subarray(1)])
}

/** The same of a MariaDB: 1 MiB where root logs in, 16 MiB for a list of accounts. */
export const HEAVY_MARIADB: Readonly<Record<string, () => readonly Buffer[]>> = {
  'a column called 1023, for a short answer': () => said(shown('1023', VARCHAR, rows(0.9, NULL))),
  'a column called 1023': () => ready(shown('1023', VARCHAR, rows(15.9, NULL))),
  'rows of nothing': () => ready(accounts(15.9, Buffer.concat([NULL, NULL, NULL]))),
  'rows that fit': () => ready(accounts(1.6, latin('\x0aan account\x01%\x010'), true)),
  'columns without end': () =>
    said(
      Buffer.concat([
        packet(1, [0xfd, 0xff, 0xff, 0x7f]),
        ...Array.from({ length: 20_000 }, (_, at) => column(`${at}`, VARCHAR, (2 + at) % 256)),
      ]),
    ),
  'answers without end': () => ready(numbered(1, 1_400_000, Buffer.from([0, 0, 0, 10, 0, 0, 0]))),
  'a text of JSON': () => ready(shown('user', 0xf5, long(4, value(`[${'[],'.repeat(4_000_000)}[]]`)))),
  'lists in lists of JSON': () => ready(shown('user', 0xf5, long(4, value('['.repeat(15_000_000))))),
  'a shape of many places': () => ready(shown('user', 0xff, long(4, value('\0'.repeat(15_000_000))))),
  'bytes instead of texts': () => ready(shown('user', 0xfc, rows(15.9, latin('\x01a')))),
  'one long text': () =>
    ready(
      Buffer.concat([
        ACCOUNTS,
        long(6, Buffer.concat([value('x'.repeat(15_000_000)), latin('\x01%\x010')])),
        packet(7, [0xfe, 0, 0, 2, 0]),
      ]),
    ),
  'ways to log in without end': () => [greeting(), numbered(2, 20_000, latin('\xfemysql_native_password\x0012345678901234567890\0'))],
}

/** Says it to everybody. `greets`: the first before anything comes. */
export function startSpeaker(greets: boolean, replies: readonly Buffer[]): Promise<Listener> {
  return startListener(async (socket) => {
    const left = [...replies]
    const speak = () => void socket.write(left.shift() ?? (greets ? '' : (replies.at(-1) ?? '')))
    if (greets) speak()
    socket.on('data', speak)
    await once(socket, 'close')
  })
}
