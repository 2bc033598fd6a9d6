/** What a hostile or broken PostgreSQL can say that no PostgreSQL says, before a login and after one. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { type Listener, startListener } from './ports.ts'

const bytes = (...values: readonly number[]) => Buffer.from(values)

/** A message with an honest length. */
export function said(kind: string, body: Buffer | string | readonly number[] = ''): Buffer {
  const whole = typeof body === 'string' ? Buffer.from(body, 'latin1') : Buffer.from(body)
  return announced(kind, whole.length + 4, whole)
}

/** A message with any length. */
function announced(kind: string, length: number, body: Buffer | string = ''): Buffer {
  const head = Buffer.from(`${kind}\0\0\0\0`, 'latin1')
  head.writeInt32BE(length, 1)
  return Buffer.concat([head, Buffer.from(body as string, 'latin1')])
}

const OK = said('R', [0, 0, 0, 0])
const READY = said('Z', 'I')
const WELCOME = Buffer.concat([OK, said('K', [0, 0, 0, 7, 0, 0, 0, 1]), READY])

/** Said to whoever wants to log in. The first two were the killing ones: six bytes each. */
export const BEFORE_LOGIN: Readonly<Record<string, Buffer>> = {
  'a way to log in of one byte': said('R', [0]),
  'an error without end': said('E', 'S'),
  'a length of nothing': announced('R', 0, 'xx'),
  'a negative length': announced('R', -1, 'xxxxxxxxx'),
  'a length shorter than itself': announced('R', 3),
  'the largest length': announced('R', 0x7fffffff, 'xx'),
  'no way to log in': said('R'),
  'half a way to log in': said('R', [0, 0]),
  'SASL without mechanisms': said('R', [0, 0, 0, 10]),
  'SASL with mechanisms without end': said('R', '\0\0\0\x0aSCRAM-SHA-256'),
  'a SASL challenge before SASL': said('R', [0, 0, 0, 11]),
  'the end of SASL before SASL': said('R', [0, 0, 0, 12, 1]),
  'MD5 without salt': said('R', [0, 0, 0, 5]),
  'a way to log in that does not exist': said('R', [0, 0, 0, 99]),
  'an error with a field without end': said('E', 'SX'),
  'an error without a field': said('E', '\0'),
  'an empty error': said('E'),
  'an error whose code is none': said('E', 'SFATAL\0CANSWER_TOO_LONG\0Mx\0\0'),
  'a process of no bytes': Buffer.concat([OK, said('S', 'abc'), said('K'), READY]),
  'rows before anything was asked': Buffer.concat([OK, READY, said('T', [0x7f, 0xff]), said('D', [0x7f, 0xff, 0, 0]), said('C', 'x')]),
  'an answer without a login': Buffer.concat([said('T', [0, 0]), said('D', [0, 0]), said('C'), said('I'), READY]),
  'copying before a login': Buffer.concat([said('G'), said('W'), said('d'), said('s')]),
  'SCRAM by heart': Buffer.concat([said('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'), said('R', '\0\0\0\x0br=abc,s=QUJD,i=4096')]),
  'another mechanism': said('R', '\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0'),
  'a login twice': Buffer.concat([OK, OK, said('R', '\0\0\0\x0aSCRAM-SHA-256\0\0'), READY, READY]),
  'the end of a query before a login': Buffer.concat([said('C', 'SELECT 1\0'), READY]),
  'parameters before anything was prepared': Buffer.concat([OK, said('1'), said('t', [0xff, 0xff]), said('s')]),
  'nothing but zeros': Buffer.alloc(64),
  'another protocol': Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
}

/** One column: its name and the type of its number. */
function column(name: string, type: number, format = 0): Buffer {
  const rest = Buffer.alloc(18)
  rest.writeInt32BE(type, 6)
  rest.writeInt16BE(format, 16)
  return Buffer.concat([Buffer.from(`${name}\0`), rest])
}

const [BOOL, INT4, TEXT] = [16, 23, 25]
const columns = (...each: readonly Buffer[]) => said('T', Buffer.concat([bytes(each.length >> 8, each.length & 0xff), ...each]))
function cell(text: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(Buffer.byteLength(text))
  return Buffer.concat([length, Buffer.from(text)])
}
const row = (...cells: readonly Buffer[]) => said('D', Buffer.concat([bytes(0, cells.length), ...cells]))
const answer = (...messages: readonly Buffer[]) => Buffer.concat([...messages, said('C', 'SELECT 1\0'), READY])
const prepared = (...messages: readonly Buffer[]) => Buffer.concat([said('1'), said('2'), ...messages])
const ACCOUNTS = columns(column('name', TEXT), column('canLogin', BOOL))
const MANY = columns(...Array.from({ length: 5000 }, (_, at) => column(`c${at}`, TEXT)))
const END = Buffer.concat([said('C', 'SELECT 1\0'), READY])

/** Said when root asks for the list of accounts: a name and a truth value in each row. */
export const AFTER_LOGIN: Readonly<Record<string, Buffer>> = {
  'columns that are announced and do not come': prepared(said('T', [0x7f, 0xff]), END),
  'a negative count of columns': prepared(said('T', [0xff, 0xff]), row(cell('x')), END),
  'columns without a count': prepared(said('T'), END),
  'a column whose name has no end': prepared(said('T', '\0\x01name'), END),
  'a column that is cut off': prepared(said('T', '\0\x01name\0\0\0'), END),
  'something behind the columns': prepared(said('T', '\0\0x'), END),
  'a binary column': prepared(columns(column('name', TEXT, 1), column('canLogin', BOOL)), END),
  'a row before columns': prepared(row(cell('x'), cell('t')), END),
  'a row without a count': prepared(ACCOUNTS, said('D'), END),
  'a row that is announced and does not come': prepared(ACCOUNTS, said('D', [0, 2]), END),
  'a value that is longer than its row': prepared(ACCOUNTS, said('D', [0, 2, 0x7f, 0xff, 0xff, 0xff]), END),
  'a value of a negative length': prepared(ACCOUNTS, said('D', [0, 2, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0]), END),
  'something behind a row': prepared(ACCOUNTS, said('D', Buffer.concat([bytes(0, 2), cell('x'), cell('t'), bytes(1)])), END),
  'thousands of columns for rows of none': prepared(MANY, ...Array.from({ length: 50_000 }, () => said('D', [0, 0])), END),
  'a truth value that is none': prepared(ACCOUNTS, row(cell('x'), cell('yes')), END),
  'a number that is none': prepared(columns(column('name', INT4), column('canLogin', BOOL)), row(cell('1e9'), cell('t')), END),
  'a name that is nothing': prepared(ACCOUNTS, said('D', Buffer.concat([bytes(0, 2, 255, 255, 255, 255), cell('t')])), END),
  'another answer than was asked for': prepared(columns(column('a', TEXT)), row(cell('x')), END),
  'a column that is called as what all objects have': prepared(columns(column('__proto__', TEXT)), row(cell('x')), END),
  'two answers for one statement': prepared(ACCOUNTS, said('C', 'SELECT 0\0'), ACCOUNTS, END),
  'no answer, and ready': READY,
  'ready without a state': prepared(ACCOUNTS, said('C', 'SELECT 0\0'), said('Z')),
  'an error without end': said('E', 'S'),
  'an empty error': Buffer.concat([said('E'), READY]),
  'a copy': Buffer.concat([said('1'), said('G', [0, 0, 0]), READY]),
  'a copy out without end': Buffer.concat([said('1'), said('H', [0, 0x7f, 0xff]), READY]),
  'a suspended portal': prepared(ACCOUNTS, said('s'), READY),
  'parameters that nobody asked for': prepared(said('t', [0xff, 0xff]), END),
  'another login': Buffer.concat([said('R', '\0\0\0\x05salt'), READY]),
  'a letter that no message has': said('\xff', 'x'),
  'a length shorter than itself': announced('D', 3),
  'a length beyond every answer': announced('D', 0x7fffffff, 'xx'),
}

const fields = (count: number) => said('E', `SFATAL\0C28P01\0${'Mx\0'.repeat(count)}\0`)
const NULL_ROW = said('D', [0, 1, 255, 255, 255, 255])
const fill = (mib: number, piece: Buffer) => [Buffer.alloc(Math.floor((mib * 1024 * 1024) / piece.length) * piece.length, piece)]
const nulls = (name: string, mib: number) => Buffer.concat([columns(column(name, TEXT)), ...fill(mib, NULL_ROW), END])

/** An answer as long as one may be, and the question to which it comes: 1 and 2 may have 1 MiB, 3 is for a list. */
export interface Heavy {
  readonly question: number
  readonly reply: Buffer
}

/** Few bytes that become much memory or much work. */
export const HEAVY: Readonly<Record<string, () => Heavy>> = {
  'a column called 1023': () => ({ question: 3, reply: prepared(nulls('1023', 15.9)) }),
  'a column called 1023, for a short answer': () => ({ question: 1, reply: nulls('1023', 0.9) }),
  'rows without names': () => ({ question: 3, reply: prepared(ACCOUNTS, ...fill(15.9, row(cell(''), cell('t'))), END) }),
  'rows that fit': () => ({ question: 3, reply: prepared(ACCOUNTS, ...fill(5, row(cell('an account'), cell('t'))), END) }),
  'columns without end': () => ({
    question: 3,
    reply: prepared(columns(...Array.from({ length: 32767 }, (_, at) => column(`${at}`, TEXT))), END),
  }),
  'answers to statements that nobody made': () => ({ question: 1, reply: Buffer.concat(fill(0.9, said('C'))) }),
  'an error of thousands of fields': () => ({ question: 3, reply: fields(5_000_000) }),
  'things said aside': () => ({ question: 3, reply: Buffer.concat(fill(15.9, said('N'))) }),
  'one long text': () => ({ question: 3, reply: prepared(ACCOUNTS, row(cell('x'.repeat(15_000_000)), cell('t')), END) }),
}

/** Says it to everybody, whatever they say. */
export function startHostile(reply: Buffer): Promise<Listener> {
  return startListener(async (socket) => {
    await once(socket, 'data')
    socket.write(reply)
    socket.resume()
  })
}

/**
 * Lets everybody in behind a certificate, tells time and identifier as root asks for them, and says it to the third question (or the one
 * of that number, from 1). Under `verify-full` that is a server to believe.
 */
export function startHostileAfterLogin(
  reply: Buffer,
  tls: { readonly cert: string; readonly key: string },
  question = 3,
): Promise<Listener> {
  const time = answer(columns(column('now', TEXT), column('verifiers', BOOL)), row(cell('1700000000000000'), cell('f')))
  const identifier = answer(columns(column('id', TEXT)), row(cell('7000000000000000001')))
  return startListener(async (plain) => {
    await once(plain, 'data')
    plain.write('S')
    const socket: Socket = new TLSSocket(plain, { isServer: true, ...tls }).on('error', () => undefined)
    const replies = [WELCOME, ...[time, identifier].slice(0, question - 1), reply]
    socket.on('data', () => void socket.write(replies.shift() ?? ''))
    await once(socket, 'close')
  })
}
