import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { watchSyncs } from '../../test/syncs.ts'
import { makeFolder, newId, writeDurably } from './index.ts'

const folder = mkdtempSync(join(tmpdir(), 'rekey-durable-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a file is synced before it gets its name, and its folder afterwards', () => {
  for (const exists of ['keep', 'replace'] as const) {
    const path = join(folder, newId())
    expect(watchSyncs(() => writeDurably(path, 'text', exists))).toEqual([`sync ${path}.new`, `name ${path}`, `sync ${folder}`])
    expect(readFileSync(path, 'utf8')).toBe('text\n')
    expect(statSync(path).mode & 0o777).toBe(0o600)
  }
})

test('a folder that is made is synced into each folder above it that was made with it, one that is there is left alone', () => {
  const [above, path] = [join(folder, 'a'), join(folder, 'a/b')]
  expect(watchSyncs(() => makeFolder(path))).toEqual([`sync ${above}`, `sync ${folder}`])
  expect(statSync(path).mode & 0o777).toBe(0o700)
  expect(watchSyncs(() => makeFolder(path))).toEqual([])
})

test('a name that is taken is kept or replaced as asked; what lies in the way of the writing is not written through', () => {
  const [path, other] = [join(folder, newId()), join(folder, newId())]
  writeFileSync(other, 'other')
  writeDurably(path, 'first', 'keep')
  symlinkSync(other, `${path}.new`)
  expect(() => writeDurably(path, 'second', 'keep')).toThrow('EEXIST')
  expect(readFileSync(path, 'utf8')).toBe('first\n')
  symlinkSync(other, `${path}.new`)
  writeDurably(path, 'third', 'replace')
  expect(readFileSync(path, 'utf8')).toBe('third\n')
  expect(readFileSync(other, 'utf8')).toBe('other')
  expect(readdirSync(folder).filter((name) => name.endsWith('.new'))).toEqual([])
})
