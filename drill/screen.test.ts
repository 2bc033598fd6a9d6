import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { Screen } from './screen.ts'
import { consumerText } from './view.ts'

/** A terminal of this size, and what was written to it. */
function terminal(columns: number, rows: number) {
  const out = Object.assign(new PassThrough(), { isTTY: true, columns, rows }) as unknown as NodeJS.WriteStream & PassThrough
  const screen = new Screen(out, { plain: false, colors: false })
  return { screen, written: () => String(out.read() ?? '') }
}

test('a terminal that says that it has no size is taken as one of 80 columns and 24 lines', () => {
  const { screen, written } = terminal(0, 0)
  expect(screen.width()).toBe(80)
  screen.block(['x'.repeat(100), 'second'])
  const text = written()
  expect(text).toContain('x'.repeat(80))
  expect(text).not.toContain('x'.repeat(81))
  expect(text).toContain('second')
  expect(terminal(120, 40).screen.width()).toBe(120)
})

test('before a consumer has told of itself none of none is said to work', () => {
  const sum = { consumers: 0, connected: 0, requests: 0, failed: 0, longestOutageMs: 0, worst: null }
  const { screen } = terminal(80, 24)
  expect(consumerText(screen, { ...sum } as Parameters<typeof consumerText>[1])).toBe('none has told of itself yet')
  expect(consumerText(screen, { ...sum, consumers: 2, connected: 1 } as Parameters<typeof consumerText>[1])).toMatch(/^1 of 2 work, /)
})
