import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { Secret } from '../kernel/index.ts'
import { copyRights } from './files.rights.ts'
import { placeFile, prepareFile } from './files.ts'

const root = mkdtempSync(join(tmpdir(), 'rekey-rights-'))
chmodSync(root, 0o755)
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folder: string
let serial = 0
beforeEach(() => {
  folder = join(root, String(++serial))
  mkdirSync(folder)
})

const secret = (text: string) => Secret.fromText(text)
const NOBODY = 65_534
const GROUP = 54_321

/** Sets (`acl` in the words of setfacl) or reads the list of a file: Python reaches what Node does not. */
const PYTHON = `
import os, struct, sys
NAME, TAGS = 'system.posix_acl_' + sys.argv[1], {'u': (1, 2), 'g': (4, 8), 'm': (16, 16), 'o': (32, 32)}
def entry(text):
    tag, who, rights = text.split(':')
    bits = sum({'r': 4, 'w': 2, 'x': 1, '-': 0}[each] for each in rights)
    return struct.pack('<HHI', TAGS[tag][who != ''], bits, int(who) if who else 0xffffffff)
if len(sys.argv) > 3:
    os.setxattr(sys.argv[2], NAME, struct.pack('<I', 2) + b''.join(map(entry, sys.argv[3].split(','))))
try: print(os.getxattr(sys.argv[2], NAME).hex())
except OSError: print('none')
`
function acl(kind: 'access' | 'default', path: string, list?: string): string | null {
  const run = spawnSync('python3', ['-c', PYTHON, kind, path, ...(list === undefined ? [] : [list])], { encoding: 'utf8' })
  return run.status === 0 ? run.stdout.trim() : null
}

function hasLists(): boolean {
  const path = join(root, 'probe')
  writeFileSync(path, '')
  return acl('access', path, 'u::rw-,u:65534:r--,g::---,m::r--,o::---') !== null
}

function reads(path: string, uid: number, gid: number): boolean {
  return spawnSync('/usr/bin/cat', ['--', path], { uid, gid, cwd: '/', env: {} }).status === 0
}

const withLists = test.runIf(hasLists())
const asRoot = test.runIf(hasLists() && process.getuid?.() === 0)

withLists('the access control list of a file stays (needs python3 and a file system with such lists)', async () => {
  for (const key of [null, 'KEY']) {
    const path = join(folder, `${key}.env`)
    writeFileSync(path, 'KEY=old\n')
    const before = acl('access', path, 'u::rw-,u:65534:r--,g::---,m::r--,o::---')
    expect(statSync(path).mode & 0o777).toBe(0o640)
    await placeFile({ path, key }, secret('new'))
    expect(readFileSync(path, 'utf8')).toContain('new')
    expect(acl('access', path)).toBe(before)
    expect(statSync(path).mode & 0o777).toBe(0o640)
  }
})

asRoot('who read a file by its list still does, and its group reads no more than before (only root can try this)', async () => {
  const path = join(folder, 'app.env')
  writeFileSync(path, 'old\n')
  chownSync(path, 0, GROUP)
  acl('access', path, 'u::rw-,u:65534:r--,g::---,m::r--,o::---')
  for (const round of ['before', 'after']) {
    expect(reads(path, NOBODY, NOBODY), round).toBe(true)
    expect(reads(path, 54_322, GROUP), round).toBe(false)
    await placeFile({ path, key: null }, secret('new'))
  }
  expect(statSync(path).gid).toBe(GROUP)
})

asRoot('who was kept out by a list stays out, though all others may read (only root can try this)', async () => {
  const path = join(folder, 'app.env')
  writeFileSync(path, 'old\n')
  acl('access', path, 'u::rw-,u:65534:---,g::---,m::r--,o::r--')
  expect(statSync(path).mode & 0o777).toBe(0o644)
  expect(reads(path, NOBODY, NOBODY)).toBe(false)
  await placeFile({ path, key: null }, secret('new'))
  expect(reads(path, NOBODY, NOBODY)).toBe(false)
  expect(reads(path, 54_322, 54_322)).toBe(true)
})

withLists('a list that the folder gives to new files is not put on one that has none (needs such lists)', async () => {
  acl('default', folder, 'u::rw-,u:65534:rw-,g::r--,m::rw-,o::---')
  for (const mode of [0o600, 0o640]) {
    const path = join(folder, `${mode}.env`)
    writeFileSync(path, 'old\n')
    spawnSync('python3', ['-c', `import os,sys; os.removexattr(sys.argv[1], 'system.posix_acl_access')`, path])
    chmodSync(path, mode)
    expect(acl('access', path)).toBe('none')
    await placeFile({ path, key: null }, secret('new'))
    expect(statSync(path).mode & 0o777).toBe(mode)
    // With 0600 entries of the folder may be on it: the mask, which is then empty, takes every right from them.
    if (mode === 0o640) expect(acl('access', path)).toBe('none')
    if (process.getuid?.() === 0) expect(reads(path, NOBODY, NOBODY)).toBe(false)
  }
})

withLists('a list that changes after the file was prepared is that of the file in the end (needs such lists)', async () => {
  const path = join(folder, 'app.env')
  writeFileSync(path, 'old\n')
  acl('access', path, 'u::rw-,u:65534:r--,g::---,m::r--,o::---')
  await prepareFile({ path, key: null }, secret('new'))
  const narrower = acl('access', path, 'u::rw-,u:4:r--,g::---,m::r--,o::---')
  await placeFile({ path, key: null }, secret('new'))
  expect(acl('access', path)).toBe(narrower)
})

/** A program in the place of cp. */
function program(text: string): string {
  const path = join(folder, 'cp')
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  return path
}

const GNU = '[ "$1" = --version ] && echo "cp (GNU coreutils) 9.1" && exit'

test.each([
  ['is missing', () => join(folder, 'none')],
  ['is not that of GNU', () => program('[ "$1" = --version ] && echo "cp (others) 9.1"; exit 0')],
  ['fails', () => program(`${GNU}; exit 1`)],
  ['copies nothing and says that it did', () => program(`${GNU}; exit 0`)],
])('where cp %s, a file that others may read is refused and nobody gets a right', async (_, make) => {
  const [from, to] = [join(folder, 'from'), join(folder, 'to')]
  writeFileSync(from, '', { mode: 0o640 })
  await using source = await open(from, 'r')
  await using target = await open(to, 'wx', 0o600)
  const rights = { mode: 0o640, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  await expect(copyRights(source, target, rights, from, make())).rejects.toMatchObject({ code: 'conflict' })
  expect(statSync(to).mode & 0o777).toBe(0o600)
})

test('rights are copied while the file is empty and only its owner may open it', async () => {
  const path = join(folder, 'app.env')
  const seen = join(folder, 'seen')
  writeFileSync(path, 'old\n', { mode: 0o640 })
  await using source = await open(path, 'r')
  await using target = await open(join(folder, 'to'), 'wx', 0o600)
  const rights = { mode: 0o640, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  const looks = `${GNU}; /usr/bin/stat -L -c '%a %s' /proc/self/fd/4 >${seen}; exec /usr/bin/cp "$@"`
  await copyRights(source, target, rights, path, program(looks))
  expect(readFileSync(seen, 'utf8')).toBe('600 0\n')
  expect(statSync(join(folder, 'to')).mode & 0o777).toBe(0o640)
})

test('a file of which only the owner has rights needs no program', async () => {
  const path = join(folder, 'app.env')
  writeFileSync(path, 'old\n', { mode: 0o400 })
  await using source = await open(path, 'r')
  await using target = await open(join(folder, 'to'), 'wx', 0o600)
  const rights = { mode: 0o400, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  await copyRights(source, target, rights, path, join(folder, 'none'))
  expect(statSync(join(folder, 'to')).mode & 0o777).toBe(0o400)
  await placeFile({ path, key: null }, secret('new'))
  expect(statSync(path).mode & 0o777).toBe(0o400)
  expect(existsSync(join(folder, '.app.env.rekey-new'))).toBe(false)
  expect(readdirSync(folder)).toEqual(['app.env', 'to'])
})
