/** What comes is judged before the library sees it, the same in whatever pieces it comes. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { library } from './library.ts'
import { Scan } from './scan.ts'

type Said = { readonly kind: '+' | '-' | ':' | '$'; readonly text: string } | null | readonly Said[]

const plain = fc.string({ maxLength: 12 }).map((text) => text.replace(/[\r\n]/g, ' '))
const simple = fc.oneof(
  fc.record({ kind: fc.constantFrom('+' as const, '-' as const), text: plain }),
  fc.record({ kind: fc.constant(':' as const), text: fc.integer().map(String) }),
  fc.record({ kind: fc.constant('$' as const), text: fc.oneof(fc.string({ maxLength: 40 }), fc.constant('a\r\nb\r\n')) }),
  fc.constant(null),
)
/** Up to seven lists deep, as many as may be. */
const reply: fc.Arbitrary<Said> = fc.letrec<{ said: Said; list: readonly Said[] }>((tie) => ({
  list: fc.array(tie('said'), { maxLength: 5 }),
  said: fc.oneof({ maxDepth: 7, depthSize: 'medium' }, simple, tie('list')),
})).said

function written(said: Said): string {
  if (said === null) return '$-1\r\n'
  if (Array.isArray(said)) return `*${said.length}\r\n${said.map(written).join('')}`
  const { kind, text } = said as Exclude<Said, null | readonly Said[]>
  return kind === '$' ? `$${Buffer.byteLength(text)}\r\n${text}\r\n` : `${kind}${text}\r\n`
}

const cuts = fc.array(fc.nat(200), { maxLength: 20 })
/** The same bytes in pieces, of which some are one byte long. */
function pieces(whole: Buffer, at: readonly number[]): Buffer[] {
  const ends = [...new Set(at.map((each) => each % (whole.length + 1)))].sort((a, b) => a - b)
  return [...ends, whole.length].map((end, which) => whole.subarray(ends[which - 1] ?? 0, end)).filter((piece) => piece.length > 0)
}

interface Verdict {
  readonly paid: number
  readonly fault: string | null
}

function judged(each: readonly Buffer[], most = 1_000_000): Verdict {
  let paid = 0
  const scan = new Scan((bytes) => {
    if (paid + bytes > most) return false
    paid += bytes
    return true
  })
  try {
    for (const piece of each) scan.see(piece)
    return { paid, fault: null }
  } catch (error) {
    return { paid, fault: (error as { code?: string }).code ?? String(error) }
  }
}

test('whatever a Redis says passes, whole and in pieces, and is paid for once', () => {
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 4 }), cuts, (said, at) => {
      const whole = Buffer.from(said.map(written).join(''))
      const verdict = judged([whole])
      expect(verdict.fault).toBeNull()
      expect(judged(pieces(whole, at))).toEqual(verdict)
      expect(judged(Array.from(whole, (byte) => Buffer.from([byte])))).toEqual(verdict)
    }),
  )
})

test('whatever else comes gets one verdict, however it is cut', () => {
  const junk = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc
      .array(fc.constantFrom('*', '$', ':', '+', '-', '%', '~', '>', '1', '0', '-1', '9999999999', '\r', '\n', '\r\n', 'a'), {
        maxLength: 30,
      })
      .map((all) => Buffer.from(all.join(''))),
    fc.tuple(reply, fc.nat(300), fc.nat(255)).map(([said, place, byte]) => {
      const whole = Buffer.from(written(said))
      whole[place % whole.length] = byte
      return whole
    }),
  )
  fc.assert(
    fc.property(junk, cuts, (whole, at) => {
      const { fault } = judged([whole], 3000)
      expect(judged(pieces(whole, at), 3000).fault).toBe(fault)
      expect([null, 'NOT_REDIS']).toContain(fault)
    }),
    { numRuns: 2000 },
  )
})

test('what passes is what the library reads: as many replies, and none left over', async () => {
  const { createClient } = await library()
  const client = createClient({ RESP: 2 })
  const { decoder } = client._getQueue()
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 4 }), cuts, (said, at) => {
      const got: unknown[] = []
      decoder.onReply = decoder.onErrorReply = (each: unknown) => void got.push(each)
      for (const piece of pieces(Buffer.from(said.map(written).join('')), at)) decoder.write(piece)
      expect(got.map(read)).toEqual(said.map(meant))
    }),
  )
})

function read(each: unknown): unknown {
  if (Array.isArray(each)) return each.map(read)
  if (Buffer.isBuffer(each)) return String(each)
  return each instanceof Error ? `-${each.message}` : each
}

function meant(said: Said): unknown {
  if (said === null) return null
  if (Array.isArray(said)) return said.map(meant)
  const { kind, text } = said as Exclude<Said, null | readonly Said[]>
  if (kind === ':') return Number(text)
  return kind === '-' ? `-${text}` : text
}

test.each([
  ['a list of thirty million', '*30000000\r\n'],
  ['a list of more than any number', '*99999999999999999999\r\n'],
  ['lists nine deep', '*1\r\n'.repeat(9)],
  ['a text of two gigabytes', '$2000000000\r\n'],
  ['errors that cost more than they say', `*600\r\n${'-\r\n'.repeat(600)}`],
  ['a negative length', '*-7\r\n'],
  ['nothing of another length', '$-10\r\n'],
  ['no length', '*\r\n'],
  ['a length with a plus', '$+1\r\na\r\n'],
  ['a text that is longer than it said', '$1\r\nab\r\n'],
  ['a line that ends half', '+a\rb\r\n'],
  ['a number that is none', ':1x\r\n'],
  ['a set', '~1\r\n'],
  ['a map', '%1\r\n'],
  ['a push', '>1\r\n'],
  ['an attribute', '|1\r\n'],
  ['a large number', '(1\r\n'],
  ['a fraction', ',1\r\n'],
  ['a truth value', '#t\r\n'],
  ['nothing as RESP3 says it', '_\r\n'],
  ['a long error', '!1\r\na\r\n'],
  ['a text with a kind', '=5\r\ntxt:a\r\n'],
])('refused: %s', (_what, said) => {
  expect(judged([Buffer.from(said)]).fault).toBe('NOT_REDIS')
})
