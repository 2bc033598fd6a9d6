import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { makeCtx, Secret, silentLog, systemClock } from '../../src/kernel/index.ts'
import { generatePassword, newKey, seal } from '../../src/seal/index.ts'
import { openStore, startEmbedded } from '../../src/store/index.ts'
import { serverFolder } from '../lab/copies.ts'
import { recordedCount, recordedScanner } from './recorder.ts'
import { formsOf, isFindable, type Needle, Scanner } from './scanner.ts'

const folder = mkdtempSync(join(serverFolder(), 'rekey-canary-'))
// As root the database runs as somebody else, who must get there.
chmodSync(folder, 0o711)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Never through the product: what these tests plant must not alarm the canary that watches them too. */
function plant(kind: string, random = true): Needle & { readonly text: string } {
  const text = Buffer.from(crypto.getRandomValues(new Uint8Array(30))).toString('base64url')
  return { kind, text, bytes: Buffer.from(text), random }
}
const odd: Needle = { kind: 'odd', bytes: Buffer.from('p"a\\ss wörd/%&+<>=?0123456789'), random: false }
const key: Needle = { kind: 'key', bytes: crypto.getRandomValues(new Uint8Array(32)), random: true }

test.each([plant('password'), odd, key])('every form of a $kind is found at its place, within any neighbours', (needle) => {
  const scanner = new Scanner([needle])
  const forms = formsOf(needle.bytes)
  expect(forms.length).toBeGreaterThanOrEqual(7)
  for (const [encoding, form] of forms) {
    for (const before of ['', 'x', '{"a":"', '\0\0\0\0']) {
      const finds = scanner.bytes(Buffer.concat([Buffer.from(before), form, Buffer.from('"}')]), 'here')
      expect(
        finds.map((find) => find.offset),
        encoding,
      ).toContain(before.length)
      expect(JSON.stringify(finds)).not.toContain(form.toString())
    }
  }
})

test('base64 of a longer text is found at each alignment, and a part of a random value too', () => {
  const needle = plant('password')
  const scanner = new Scanner([needle])
  for (const before of ['', 'a', 'ab', 'abc', 'user:']) {
    for (const encoding of ['base64', 'base64url'] as const) {
      expect(scanner.text(Buffer.from(`${before}${needle.text}\n`).toString(encoding), 'here'), before).not.toEqual([])
    }
  }
  expect(scanner.text(`cut ${needle.text.slice(0, 20)}`, 'here')).toHaveLength(1)
  expect(scanner.text(`cut ${needle.text.slice(-20)}`, 'here')).toHaveLength(1)
  expect(new Scanner([{ ...needle, random: false }]).text(`cut ${needle.text.slice(0, 39)}`, 'here')).toEqual([])
})

test('values that would be found by chance are not looked for; nothing is found where nothing is', () => {
  expect(['short', 'aaaaaaaaaaaaaaaaaaaaaaaa', ''].map((text) => isFindable(Buffer.from(text)))).toEqual([false, false, false])
  const scanner = new Scanner(Array.from({ length: 500 }, () => plant('password')))
  expect(scanner.bytes(crypto.getRandomValues(new Uint8Array(60_000)), 'noise')).toEqual([])
  expect(scanner.bytes(new Uint8Array(100_000), 'zeros')).toEqual([])
})

test('a file is scanned over its pieces: a secret across a boundary is found once, at its offset', () => {
  const needle = plant('password')
  const path = join(folder, 'large')
  const size = 17 * 1024 * 1024
  const places = [0, 8 * 1024 * 1024 - 20, 16 * 1024 * 1024 - 1, size - needle.bytes.length]
  const bytes = Buffer.alloc(size, 'abcdefghijklm')
  for (const place of places) bytes.set(needle.bytes, place)
  writeFileSync(path, bytes)
  const whole = new Scanner([{ ...needle, random: false }])
  expect(whole.file(path).map((find) => find.offset)).toEqual(places)
  expect(whole.folder(folder).bytes).toBe(size)
  expect(whole.file(join(folder, 'absent'))).toEqual([])
})

test('time does not grow with the number of secrets', () => {
  const bytes = Buffer.alloc(32 * 1024 * 1024, Buffer.from(crypto.getRandomValues(new Uint8Array(65_000))))
  const timeOf = (count: number) => {
    const scanner = new Scanner(Array.from({ length: count }, () => plant('password')))
    scanner.bytes(bytes.subarray(0, 1024 * 1024), 'warm')
    const began = systemClock.monotonicMs()
    scanner.bytes(bytes, 'noise')
    return systemClock.monotonicMs() - began
  }
  const [few, many] = [timeOf(10), timeOf(5_000)]
  console.info(`32 MiB: ${few.toFixed(0)} ms for 10 secrets, ${many.toFixed(0)} ms for 5,000`)
  expect(many).toBeLessThan(Math.max(few, 50) * 10)
})

test('in a real database a secret is found in a row, a bytea, the WAL and a line of the log', async () => {
  const data = join(folder, 'data')
  const database = await startEmbedded(makeCtx('test', 'canary'), data)
  const store = openStore({ connection: database.connection, max: 1, log: silentLog })
  const [row, binary, hex, gone, logged] = [plant('row'), plant('bytea'), plant('hex'), plant('gone'), plant('logged')]
  await store.query('create table t (a text, b bytea)')
  await store.query('insert into t values ($1, null), (null, $2), (encode($3, $4), null)', [row.text, binary.bytes, hex.bytes, 'hex'])
  await store.query('create table short (a text)')
  await store.query('insert into short values ($1)', [gone.text])
  await store.query('drop table short')
  await store.query(`do $$ begin raise log '%', '${logged.text}'; end $$`)
  await store.close()
  await database.stop()
  const { finds } = new Scanner([row, binary, hex, gone, logged]).folder(folder)
  const places = (kind: string, where: RegExp) =>
    finds.filter((find) => find.kind === kind && where.test(find.where)).map((find) => find.encoding)
  for (const [kind, encoding] of [
    ['row', 'raw'],
    ['bytea', 'raw'],
    ['hex', 'hex'],
  ] as const) {
    expect(places(kind, /\/base\//), kind).toContain(encoding)
    expect(places(kind, /\/pg_wal\//), kind).toContain(encoding)
  }
  expect(places('gone', /\/pg_wal\//)).toContain('raw')
  expect(places('gone', /\/base\//)).toEqual([])
  expect(places('logged', /postgres\.log$/)).toContain('raw')
})

test('what the product makes or seals in a test is recorded', () => {
  const before = recordedCount()
  const password = generatePassword()
  const declared = Secret.fromText(`declared-${crypto.randomUUID()}`)
  seal(newKey(), declared, 'here')
  expect(recordedCount()).toBe(before + 3)
  const text = [password, declared].map((secret) => secret.revealText((value) => value)).join(' ')
  expect(
    recordedScanner()
      .text(text, 'here')
      .map((find) => find.kind),
  ).toEqual(['a generated password', 'a generated password', 'a sealed value'])
})
