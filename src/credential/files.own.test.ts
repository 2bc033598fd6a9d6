import { once } from 'node:events'
import { existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { MAY_MOUNT, runApart, startApart } from '../../test/lab/mounts.ts'
import { Secret } from '../kernel/index.ts'
import { Guard } from './files.guard.ts'
import { checkFile, placeFile, prepareFile } from './files.ts'

const root = mkdtempSync(join(tmpdir(), 'rekey-own-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Where Rekey's own things are: a data folder, a token beside it, and a folder that is not there yet. */
let folder: string
let own: readonly string[]
let serial = 0
beforeEach(() => {
  folder = join(root, String(++serial))
  own = [join(folder, 'up/data'), join(folder, 'token'), join(folder, 'up/later')]
  mkdirSync(join(folder, 'up/data/kek/deep'), { recursive: true })
  for (const name of ['bound', 'other', 'up/other']) mkdirSync(join(folder, name))
  for (const name of ['up/data/kek/a.key', 'token', 'bound/free', 'other/free']) writeFileSync(join(folder, name), 'KEY=own\n')
})

const OWN = "it is one of Rekey's own files"
const MADE_UP = 'it is where the kernel shows files, and no file is kept'
const CHILD = `
const { Secret } = await import(process.env.SECRET)
const { placeFile, prepareFile } = await import(process.env.FILES)
const { Guard } = await import(process.env.GUARD)
const [path, ...keepOut] = process.argv.slice(1)
const said = { apply: await new Guard(keepOut).whyNotAt(path) }
for (const [name, act] of Object.entries({ prepareFile, placeFile }))
  said[name] = await act({ path, key: 'KEY', keepOut }, Secret.fromText('new')).then(() => null, (error) => error.message)
console.log(JSON.stringify(said))
`

/** What apply and each way to write say of a path, in a process of its own, after those words of a shell in the folder. */
function sayings(shell: readonly string[], path: string, env: Record<string, string> = {}): Record<string, string | null> {
  const from = (name: string) => new URL(name, import.meta.url).href
  const words = ['cd "$F"', ...shell, 'exec "$NODE" --no-warnings --input-type=module -e "$CHILD" "$@"'].join(' && ')
  const run = runApart(['sh', '-c', words, 'sh', path, ...own], {
    ...{ PATH: '/usr/sbin:/usr/bin:/sbin:/bin', NODE: process.execPath, CHILD, F: folder },
    ...{ SECRET: from('../kernel/index.ts'), FILES: from('./files.ts'), GUARD: from('./files.guard.ts'), ...env },
  })
  if (run.status !== 0) throw new Error(run.stderr)
  return JSON.parse(run.stdout)
}

const all = (why: string | null, path: string) => {
  const said = why === null ? null : `No value is written to ${path}: ${why}.`
  return { apply: why, prepareFile: said, placeFile: said }
}

/** Everything that is Rekey's, by path. */
const contents = () =>
  readdirSync(join(folder, 'up/data'), { recursive: true, withFileTypes: true }).map(
    (entry) => `${entry.name}: ${entry.isFile() ? readFileSync(join(entry.parentPath, entry.name), 'utf8') : 'a folder'}`,
  )

test.skipIf(!MAY_MOUNT).each([
  ['the folder itself', ['mount --bind up/data bound'], 'bound/x'],
  ['a file of a folder in it', ['mount --bind up/data/kek bound'], 'bound/a.key'],
  ['a file that is not there yet', ['mount --bind up/data/kek bound'], 'bound/x'],
  ['far below', ['mount --bind up/data/kek/deep bound'], 'bound/x'],
  ['below what is mounted', ['mount --bind up/data/kek bound'], 'bound/deep/x'],
  ['a folder above', ['mount --bind up bound'], 'bound/data/kek/a.key'],
  ['a folder above of one that is not there yet', ['mount --bind up bound'], 'bound/later'],
  ['the folder of a file', ['mount --bind . bound'], 'bound/token'],
  ['twice', ['mount --bind up/data other', 'mount --bind other/kek/deep bound'], 'bound/x'],
  ['through a link', ['mount --bind up/data/kek bound', 'ln -s bound/deep door'], 'door/x'],
  ['what is mounted in it', ['mount --bind other up/data/kek/deep'], 'other/x'],
  ['below what is mounted in it', ['mkdir other/in', 'mount --bind other up/data/kek', 'mount --bind other/in bound'], 'bound/x'],
  ['of another file system', ['mount -t tmpfs none up/data/kek', 'mkdir up/data/kek/t', 'mount --bind up/data/kek/t bound'], 'bound/x'],
] as const)('no value is written where a mount leads into what is ours: %s (needs root and unshare)', (_name, shell, at) => {
  const path = join(folder, at)
  const before = contents()
  expect(sayings(shell, path)).toEqual(all(OWN, path))
  expect(contents()).toEqual(before)
  expect(readFileSync(join(folder, 'token'), 'utf8')).toBe('KEY=own\n')
})

test.skipIf(!MAY_MOUNT)('apply refuses what would be in a folder of ours that is not there yet (needs root and unshare)', () => {
  for (const at of ['bound/none/x', 'bound/none/none/x', 'bound/a.key/x'])
    expect(sayings(['mount --bind up/data/kek bound'], join(folder, at)).apply, at).toBe(OWN)
})

test.skipIf(!MAY_MOUNT)('a file of ours that is mounted on another is refused at apply already (needs root and unshare)', () => {
  const path = join(folder, 'bound/free')
  const said = `No value is written to ${path}: ${OWN}.`
  for (const file of ['up/data/kek/a.key', 'token'])
    expect(sayings([`mount --bind ${file} bound/free`], path)).toEqual({ apply: OWN, prepareFile: said, placeFile: said })
})

test.skipIf(!MAY_MOUNT)('mounts that lead elsewhere are written through (needs root and unshare)', () => {
  const path = join(folder, 'bound/free')
  expect(sayings(['mount --bind other bound'], path)).toEqual(all(null, path))
  expect(readFileSync(join(folder, 'other/free'), 'utf8')).toBe('KEY=new\n')
  expect(sayings(['mount --bind up/other bound'], path)).toEqual(all(null, path))
  expect(sayings(['mount -t tmpfs none bound', 'mount --bind up/data bound', 'umount bound'], path)).toEqual(all(null, path))
})

test.skipIf(!MAY_MOUNT)('what the kernel shows is known wherever it is mounted (needs root and unshare)', () => {
  for (const shell of ['mount --bind /proc bound', 'mount --bind /proc/sys bound', 'mount -t proc none bound', 'mount --bind /dev bound']) {
    const path = join(folder, 'bound/free')
    expect(sayings([shell], path), shell).toEqual(all(MADE_UP, path))
  }
})

test.skipIf(!MAY_MOUNT)(
  'a folder of ours that only another process has mounted is known, by the folders that /proc shows of that process',
  async () => {
    const child = startApart(['sh', '-c', 'mount --bind up/data/kek/deep bound && cd bound && echo ready && exec sleep 600'], folder)
    try {
      await once(child.stdout, 'data')
      for (const [name, leads] of [
        ['root', `/proc/${child.pid}/root${folder}/bound`],
        ['cwd', `/proc/${child.pid}/cwd`],
      ] as const) {
        symlinkSync(leads, join(folder, name))
        const path = join(folder, name, 'x')
        expect(existsSync(join(folder, name)), name).toBe(true)
        const { prepareFile: prepared, placeFile: placed } = sayings([], path)
        expect([prepared, placed], name).toEqual(Array(2).fill(`No value is written to ${path}: ${OWN}.`))
        expect(sayings([], join(leads, 'x')).apply).toBe('it is in /proc, where no file is kept')
      }
      expect(readdirSync(join(folder, 'up/data/kek/deep'))).toEqual([])
      symlinkSync(`/proc/${child.pid}/root${folder}/other`, join(folder, 'elsewhere'))
      expect(sayings([], join(folder, 'elsewhere/free')).placeFile).toBeNull()
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  },
)

test('/proc/self/root and /proc/self/cwd lead to what is ours as any other way does', async () => {
  for (const [name, leads] of [
    ['root', `/proc/self/root${folder}/up/data/kek`],
    ['fd', `/proc/self/cwd/${'../'.repeat(30)}${folder}/up/data/kek`],
  ] as const) {
    symlinkSync(leads, join(folder, name))
    for (const key of [null, 'KEY']) {
      const place = { path: join(folder, name, 'a.key'), key, keepOut: own }
      await expect(placeFile(place, Secret.fromText('x'))).rejects.toMatchObject({ code: 'conflict' })
      expect(await new Guard(own).whyNotAt(place.path)).toBe(OWN)
    }
  }
  expect(readFileSync(join(folder, 'up/data/kek/a.key'), 'utf8')).toBe('KEY=own\n')
})

test('a second name of a file of ours is known at apply, and nothing is read of it', async () => {
  for (const name of ['up/data/kek/a.key', 'token']) {
    const path = join(folder, 'bound', name.replaceAll('/', '-'))
    linkSync(join(folder, name), path)
    expect(await new Guard(own).whyNotAt(path)).toBe(OWN)
    const place = { path, key: 'OTHER', keepOut: own }
    for (const act of [prepareFile, placeFile, checkFile])
      await expect(act(place, Secret.fromText('x'))).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining(OWN) })
  }
  expect(readdirSync(join(folder, 'bound')).sort()).toEqual(['free', 'token', 'up-data-kek-a.key'])
  linkSync(join(folder, 'other/free'), join(folder, 'bound/second'))
  expect(await new Guard(own).whyNotAt(join(folder, 'bound/second'))).toBeNull()
})
