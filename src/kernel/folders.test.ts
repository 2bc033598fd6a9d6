import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { fileFault, makeFolders, RekeyError, refuseClosedFolder } from './index.ts'

const folder = mkdtempSync(join(tmpdir(), 'rekey-folders-'))
writeFileSync(join(folder, 'file'), '')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** As the file system throws it, for what cannot be brought about in a test. */
function thrown(code: string): Error {
  return Object.assign(new Error(`${code}: as it was`), { code, syscall: 'write', path: '/x/admin.token.new' })
}

test('folders that are missing are made with the mode, and the topmost is named', () => {
  expect(makeFolders(join(folder, 'a/b/c'), 0o700)).toBe(join(folder, 'a'))
  expect(statSync(join(folder, 'a/b/c')).mode & 0o777).toBe(0o700)
  expect(makeFolders(join(folder, 'a/b/c'), 0o700)).toBeUndefined()
  mkdirSync(join(folder, 'real'))
  symlinkSync('real', join(folder, 'link'))
  expect(makeFolders(join(folder, 'link'), 0o700)).toBeUndefined()
})

test('where no folder can be made it throws, and does not go round for ever', () => {
  symlinkSync('nowhere', join(folder, 'dangling'))
  symlinkSync('circle', join(folder, 'circle'))
  for (const [path, code] of [
    ['/proc/rekey-none', 'ENOENT'],
    [join(folder, 'file'), 'ENOTDIR'],
    [join(folder, 'file/x'), 'ENOTDIR'],
    [join(folder, 'dangling'), 'ENOENT'],
    [join(folder, 'circle'), 'ELOOP'],
    [join(folder, 'x'.repeat(300)), 'ENAMETOOLONG'],
  ]) {
    expect(() => makeFolders(path ?? '', 0o700), path).toThrow(expect.objectContaining({ code }))
  }
})

test('what the file system throws is told with the path, why and what to do; no room is no fault of the configuration', () => {
  for (const code of ['ENOSPC', 'EDQUOT', 'EROFS', 'ENOTDIR', 'EISDIR', 'EEXIST', 'ENAMETOOLONG', 'ELOOP', 'ENOENT', 'EACCES', 'EPERM']) {
    const fault = fileFault(thrown(code))
    expect(fault, code).toBeInstanceOf(RekeyError)
    expect(fault).toMatchObject({ code: ['ENOSPC', 'EDQUOT'].includes(code) ? 'unavailable' : 'config_invalid', hint: expect.any(String) })
    expect(String(fault)).toContain('/x/admin.token.new')
  }
})

test('what is no fault of a file is handed back', () => {
  const others = [new Error('x'), new RekeyError('internal', 'x'), thrown('EIO'), Object.assign(thrown('EACCES'), { address: '0.0.0.0' })]
  for (const other of others) expect(fileFault(other)).toBe(other)
})

test('a folder that is not there yet is no fault, a file in its place is', () => {
  expect(refuseClosedFolder(join(folder, 'not yet'))).toBeUndefined()
  expect(refuseClosedFolder(folder)).toBeUndefined()
  expect(() => refuseClosedFolder(join(folder, 'file'))).toThrow('where a folder should be')
})
