import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ERRORS, isCode, isId, newId, RekeyError, Secret, sleep } from './index.ts'

const bytes = fc.uint8Array({ minLength: 1, maxLength: 64 })

test('a secret shows itself in no way that a program prints by accident', () => {
  const secret = Secret.fromText('hunter2-canary')
  const shown = [
    `${secret}`,
    String(secret),
    secret.toString(),
    JSON.stringify({ secret }),
    inspect(secret, { showHidden: true, depth: 9 }),
    inspect({ deep: [secret] }),
    JSON.stringify(structuredClone({ ...secret })),
    Object.values(secret).join(),
    new Error(`with ${secret}`).message,
  ]
  expect(shown.join(' ')).not.toContain('hunter2')
  expect(shown[0]).toBe('[secret]')
})

test('a secret cannot be compared, added or sorted by accident', () => {
  const secret = Secret.fromText('x')
  const text = 'x'
  expect(() => text.concat(secret as unknown as string)).not.toThrow()
  expect(() => (secret as unknown as number) + 1).toThrow(TypeError)
  expect(() => (secret as unknown as number) > 1).toThrow(TypeError)
  // biome-ignore lint/suspicious/noDoubleEquals: the loose comparison is what must throw
  expect(() => (secret as unknown as string) == 'x').toThrow(TypeError)
})

test('equals compares the whole content', () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(new Secret(a).equals(new Secret(b))).toBe(Buffer.compare(a, b) === 0)
      expect(new Secret(a).equals(new Secret(a))).toBe(true)
    }),
  )
  expect(Secret.fromText('ab').equals(Secret.fromText('abab'))).toBe(false)
})

test('a secret keeps its own copy, and is never empty or half text', () => {
  const source = Uint8Array.of(1, 2, 3)
  const secret = new Secret(source)
  source.fill(0)
  expect(secret.reveal((inner) => [...inner])).toEqual([1, 2, 3])
  expect(() => new Secret(new Uint8Array())).toThrow(RekeyError)
  expect(() => new Secret(Uint8Array.of(0xff, 0xfe)).revealText((text) => text)).toThrow('UTF-8')
})

test('ids are UUIDs of version 7 that sort by time', () => {
  const ids = Array.from({ length: 100 }, (_, i) => newId(1_700_000_000_000 + i))
  expect(ids).toEqual([...ids].sort())
  for (const id of ids) expect(isId(id) && id[14] === '7' && '89ab'.includes(id[19] ?? '')).toBe(true)
  expect(new Set(Array.from({ length: 10_000 }, () => newId())).size).toBe(10_000)
  expect(isId('not-an-id')).toBe(false)
})

test('every error code has an HTTP status and a title', () => {
  for (const [code, { status, title }] of Object.entries(ERRORS)) {
    expect(status, code).toBeGreaterThanOrEqual(400)
    expect(title.length, code).toBeGreaterThan(5)
  }
  expect(isCode(new RekeyError('conflict', 'x'), 'conflict')).toBe(true)
  expect(isCode(new Error('x'), 'conflict')).toBe(false)
})

test('sleep ends early when told to', async () => {
  const stop = new AbortController()
  const start = performance.now()
  setTimeout(() => stop.abort(), 10)
  await sleep(10_000, stop.signal)
  await sleep(10_000, stop.signal)
  expect(performance.now() - start).toBeLessThan(1_000)
})
