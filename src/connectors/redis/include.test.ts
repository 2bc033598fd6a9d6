import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { expectCode } from '../contract.kit.ts'
import { isHere, readConfig, refuseIncludedAccounts } from './include.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'include-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const write = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const refused = async (main: string) => (await expectCode(refuseIncludedAccounts(write('redis.conf', main)), 'target_unsupported')).message

test('an account in an included file is found, also where one includes the next', async () => {
  const deep = write('deep.conf', 'user deep on nopass\n')
  const via = write('via.conf', `maxclients 5\ninclude ${deep}\n`)
  expect(await refused(`port 1\ninclude ${via}\n`)).toContain('would not start again')
  expect(await refused(`include ${join(folder, 'de*.con?')}`)).toContain('would not start again')
})

test('accounts in the file itself, a file without accounts and a pattern that fits nothing are fine', async () => {
  const plain = write('plain.conf', '# user x\nusername y\n')
  const fine = [`user a on\ninclude ${plain}`, '', '#include /nowhere', `include ${join(folder, 'none-*.conf')}`]
  for (const main of fine) await refuseIncludedAccounts(write('redis.conf', main))
})

test('an include that cannot be looked into is refused, since it may hold accounts; it never waits for a pipe', async () => {
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  mkdirSync(join(folder, 'folder'))
  const long = write('long', 'a'.repeat(1024 * 1024 + 1))
  const cycle = join(folder, 'redis.conf')
  const hidden = ['relative.conf', '/nowhere/at.all', pipe, join(folder, 'folder'), long, cycle, '/*/x.conf', join(folder, '*a*a*a*a')]
  for (const path of hidden) expect(await refused(`include ${path}`), path).toContain('cannot see')
})

test('a file that is not there, or none, says nothing', async () => {
  for (const path of [join(folder, 'none'), folder, '/dev/zero', '']) await refuseIncludedAccounts(path)
})

test('of a configuration its includes and accounts are read, whatever else is in it', () => {
  expect(readConfig(`Include "/a b"\r\n include '/c'\n"user" x on\ninclude\n#include /d`)).toEqual({
    includes: ['/a b', '/c'],
    accounts: true,
  })
  const line = fc.string().map((text) => `# ${text.replaceAll('\n', ' ')}`)
  fc.assert(
    fc.property(fc.array(line), fc.array(line), fc.string(), (before, after, path) => {
      const include = `include /${path.replace(/\s|"|'/g, '_')}`
      expect(readConfig([...before, include, ...after].join('\n'))).toEqual({ includes: [include.slice(8)], accounts: false })
      expect(readConfig([...before, 'uSer x', ...after].join('\n'))).toEqual({ includes: [], accounts: true })
    }),
  )
})

test('only an address of this machine has files here', () => {
  for (const host of ['localhost', 'LOCALHOST', '127.0.0.1', '127.9.9.9', '::1']) expect(isHere(host)).toBe(true)
  for (const host of ['redis', '10.0.0.1', 'localhost.example', '127.0.0.1.example']) expect(isHere(host)).toBe(false)
})
