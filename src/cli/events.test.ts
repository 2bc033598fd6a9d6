import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readEvents, type ServerEvent } from './events.ts'

async function read(bytes: Uint8Array, cuts: readonly number[] = []): Promise<ServerEvent[]> {
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  const found: ServerEvent[] = []
  const pieces = [...ends, bytes.length].map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end))
  for await (const event of readEvents(
    (async function* () {
      yield* pieces
    })(),
  ))
    found.push(event)
  return found
}

const encode = (text: string) => new TextEncoder().encode(text)

test.each<[string, ServerEvent[]]>([
  ['', []],
  ['data: a\n\n', [{ event: 'message', data: 'a' }]],
  ['event: x\ndata: a\ndata:b\n\n', [{ event: 'x', data: 'a\nb' }]],
  [': heartbeat\n\nevent: done\ndata: {}\n\n', [{ event: 'done', data: '{}' }]],
  ['id: 4\nretry: 5\nunknown\ndata\n\n', [{ event: 'message', data: '' }]],
  ['event: x\n\ndata: a\n\n', [{ event: 'message', data: 'a' }]],
  ['data: cut off\n', []],
  ['event: x\r\ndata:  two blanks\r\n\r\n', [{ event: 'x', data: ' two blanks' }]],
  [
    'data: a\r\rdata: b\n\r\n',
    [
      { event: 'message', data: 'a' },
      { event: 'message', data: 'b' },
    ],
  ],
])('%j', async (text, events) => {
  expect(await read(encode(text))).toEqual(events)
})

test('it does not matter where the bytes are cut', async () => {
  const field = fc.string({ unit: 'binary' }).map((text) =>
    text
      .toWellFormed()
      .replace(/[\r\n]/g, '')
      .replace(/^ /, ''),
  )
  const event = fc.record({ event: field.filter((name) => name !== ''), data: fc.array(field, { minLength: 1, maxLength: 3 }) })
  const stream = fc.record({ events: fc.array(event), end: fc.constantFrom('\n', '\r\n', '\r'), cuts: fc.array(fc.nat()) })
  await fc.assert(
    fc.asyncProperty(stream, async ({ events, end, cuts }) => {
      const text = events.map((one) => `event: ${one.event}${end}${one.data.map((line) => `data: ${line}${end}`).join('')}${end}`).join('')
      const wanted = events.map((one) => ({ event: one.event, data: one.data.join('\n') }))
      expect(await read(encode(text), cuts)).toEqual(wanted)
    }),
  )
})

test('an event without end is refused', async () => {
  const endless = (async function* () {
    for (;;) yield encode(`data: ${'x'.repeat(65_536)}\n`)
  })()
  const first = readEvents(endless).next()
  await expect(first).rejects.toMatchObject({ code: 'too_large' })
})

test('a line without end is refused', async () => {
  const endless = (async function* () {
    for (;;) yield encode('x'.repeat(65_536))
  })()
  await expect(readEvents(endless).next()).rejects.toMatchObject({ code: 'too_large' })
})
