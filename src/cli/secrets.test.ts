import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { LIMITS } from '../kernel/index.ts'
import { Output } from './output.ts'
import { readSecretFile, readSource } from './secrets.ts'

const folder = mkdtempSync(join(tmpdir(), 'rekey-secrets-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const out = new Output({ json: false, color: false })

function file(content: string, mode = 0o600): string {
  const path = join(folder, `s${Math.random()}`)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

const read = async (content: string) => (await readSecretFile(file(content), 'x', out)).revealText((text) => text)

test.each([
  ['abc', 'abc'],
  ['abc\n', 'abc'],
  ['abc\r\n', 'abc'],
  ['abc\n\n', 'abc\n'],
  ['abc\r', 'abc\r'],
  [' a b ', ' a b '],
])('%j is the secret %j', async (content, secret) => expect(await read(content)).toBe(secret))

test.each(['', '\n', '\r\n'])('%j is refused as empty', async (content) => {
  await expect(read(content)).rejects.toMatchObject({ code: 'bad_input', message: expect.stringContaining('is empty') })
})

test('the longest secret passes, one byte more is refused, both with a line break', async () => {
  expect(await read(`${'x'.repeat(LIMITS.secretBytes)}\r\n`)).toHaveLength(LIMITS.secretBytes)
  await expect(read(`${'x'.repeat(LIMITS.secretBytes + 1)}\n`)).rejects.toMatchObject({ message: expect.stringContaining('longer than') })
  await expect(read('x'.repeat(1_000_000))).rejects.toMatchObject({ message: expect.stringContaining('longer than') })
})

test('a file that is not there, or a folder, is named and not more', async () => {
  await expect(readSecretFile(join(folder, 'gone'), 'system db', out)).rejects.toMatchObject({
    code: 'bad_input',
    message: `The secret of system db cannot be read: ${join(folder, 'gone')} (ENOENT).`,
  })
  await expect(readSecretFile(folder, 'x', out)).rejects.toMatchObject({ message: expect.stringContaining('EISDIR') })
})

test.each([
  [0o600, false],
  [0o640, true],
  [0o604, true],
])('a file of mode %o is warned of: %s', async (mode, warned) => {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await readSecretFile(file('very-secret', mode), 'x', out)
  const heard = write.mock.calls.map(([text]) => String(text)).join('')
  write.mockRestore()
  expect(heard.includes('can be read by others')).toBe(warned)
  expect(heard).not.toContain('very-secret')
})

test('a variable that is not set is named', async () => {
  await expect(readSource({ env: 'REKEY_NO_SUCH_VARIABLE' }, 'credential c', out)).rejects.toMatchObject({
    message: 'The secret of credential c is to come from the variable REKEY_NO_SUCH_VARIABLE, which is not set.',
  })
})
