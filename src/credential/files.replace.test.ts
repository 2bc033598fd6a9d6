import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { MAY_MOUNT, runApart } from '../../test/lab/mounts.ts'
import { Secret } from '../kernel/index.ts'
import { parseMounts } from './files.mounts.ts'
import { isMountedOn } from './files.replace.ts'
import { checkFile, placeFile, prepareFile } from './files.ts'

const root = mkdtempSync(join(tmpdir(), 'rekey-replace-'))
chmodSync(root, 0o755)
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folder: string
let path: string
let serial = 0
beforeEach(() => {
  folder = join(root, String(++serial))
  path = join(folder, 'app.env')
  mkdirSync(folder)
  writeFileSync(path, 'KEY=old\n')
})

/** Of the system, not of a package. */
const CHATTR = 'chattr'
const NOBODY = 65_534
const CHILD = `
const { Secret } = await import(process.env.SECRET)
const { checkFile, placeFile, prepareFile } = await import(process.env.FILES)
if (process.env.AS) process.setuid(Number(process.env.AS))
const said = {}
for (const [name, act] of Object.entries({ checkFile, prepareFile, placeFile }))
  said[name] = await act({ path: process.argv[1], key: 'KEY' }, Secret.fromText('new')).then(() => 'done', (error) => error.message)
console.log(JSON.stringify(said))
`

/** What each of the ways to a file says of one, in a process of its own, after those words of a shell. */
function sayings(shell: readonly string[], at: string, env: Record<string, string> = {}): Record<string, string> {
  const from = (name: string) => new URL(name, import.meta.url).href
  const words = [...shell, 'exec "$NODE" --no-warnings --input-type=module -e "$CHILD" "$1"'].join(' && ')
  const run = runApart(['sh', '-c', words, 'sh', at], {
    ...{ PATH: '/usr/sbin:/usr/bin:/sbin:/bin', NODE: process.execPath, CHILD, F: folder },
    ...{ SECRET: from('../kernel/index.ts'), FILES: from('./files.ts'), ...env },
  })
  if (run.status !== 0) throw new Error(run.stderr)
  return JSON.parse(run.stdout)
}

const mounted = (at: string) => `The file is a mount point, over which no new file can be put: ${at}`
const fixed = `The system lets Rekey put no new file in place of this one: `
const all = (said: string) => ({ checkFile: said, prepareFile: said, placeFile: said })

test.skipIf(!MAY_MOUNT)(
  'a file that is a mount point is refused before anything is written, also one of the same file system (needs root and unshare)',
  () => {
    writeFileSync(join(root, 'other'), 'KEY=other\n')
    expect(sayings(['mount --bind "$F/../other" "$F/app.env"'], path)).toEqual(all(mounted(path)))
    expect(sayings(['mkdir "$F/t"', 'mount -t tmpfs none "$F/t"', 'echo KEY=t > "$F/t/f"', 'mount --bind "$F/t/f" "$1"'], path)).toEqual(
      all(mounted(path)),
    )
    expect(readdirSync(folder).sort()).toEqual(['app.env', 't'])
    expect(readFileSync(path, 'utf8')).toBe('KEY=old\n')
    expect(readFileSync(join(root, 'other'), 'utf8')).toBe('KEY=other\n')
  },
)

test.skipIf(!MAY_MOUNT)(
  'a mount on the file is found that only another way to its folder shows, whatever the names (needs root and unshare)',
  () => {
    const seen = join(root, `seen ${serial}\\here`)
    mkdirSync(seen)
    const shell = ['mount --bind "$F" "$SEEN"', 'mount --bind "$F/../other" "$F/app.env"', 'grep -q old "$1"']
    writeFileSync(join(root, 'other'), 'KEY=other\n')
    const at = join(seen, 'app.env')
    expect(sayings(shell, at, { SEEN: seen })).toEqual(all(mounted(at)))
  },
)

test('a file with a second name is refused before anything is written or read of it, until that is gone', async () => {
  const other = join(root, `other-name-${serial}`)
  linkSync(path, other)
  for (const key of ['KEY', null]) {
    const place = { path, key }
    for (const act of [checkFile, prepareFile, placeFile])
      await expect(act(place, Secret.fromText('new'))).rejects.toMatchObject({
        code: 'conflict',
        message: `The file has more than one name, and only this one would get the value: ${path}`,
        hint: expect.stringContaining('-samefile'),
      })
  }
  expect(readdirSync(folder)).toEqual(['app.env'])
  expect([path, other].map((name) => readFileSync(name, 'utf8'))).toEqual(['KEY=old\n', 'KEY=old\n'])
  rmSync(other)
  for (const act of [checkFile, prepareFile, placeFile]) await act({ path, key: 'KEY' }, Secret.fromText('new'))
  expect(readFileSync(path, 'utf8')).toBe('KEY=new\n')
})

test('what was prepared and then got a second name is made anew: nobody keeps the value by it', async () => {
  const [place, secret] = [{ path, key: 'KEY' }, Secret.fromText('new')]
  await prepareFile(place, secret)
  linkSync(join(folder, '.app.env.rekey-new'), join(folder, 'kept'))
  await placeFile(place, secret)
  expect(statSync(path).nlink).toBe(1)
  expect(statSync(path).ino).not.toBe(statSync(join(folder, 'kept')).ino)
})

test.skipIf(!MAY_MOUNT)('a folder that is mounted is none: there the file is replaced (needs root and unshare)', () => {
  mkdirSync(join(root, `real-${serial}`))
  const shell = ['mount --bind "$F/../real-$N" "$F"', 'echo KEY=old > "$1"']
  expect(sayings(shell, path, { N: String(serial) })).toEqual(all('done'))
  expect(readFileSync(join(root, `real-${serial}`, 'app.env'), 'utf8')).toBe('KEY=new\n')
})

function attributes(): boolean {
  const probe = join(root, 'probe')
  writeFileSync(probe, '')
  return spawnSync(CHATTR, ['+i', probe]).status === 0 && spawnSync(CHATTR, ['-i', probe]).status === 0
}

test.skipIf(!MAY_MOUNT || !attributes())(
  'an immutable or append-only file is refused, and one in an append-only folder (needs root and chattr)',
  () => {
    for (const [flag, target] of [
      ['i', path],
      ['a', path],
      ['a', folder],
    ] as const) {
      try {
        expect(sayings([`chattr +${flag} '${target}'`], path)).toEqual(all(`${fixed}${path}`))
      } finally {
        spawnSync(CHATTR, [`-${flag}`, target])
      }
      expect(readdirSync(folder)).toEqual(['app.env'])
    }
  },
)

test.skipIf(!MAY_MOUNT)("another's file in a sticky folder is refused to who is not root; one's own is replaced (needs root)", () => {
  chmodSync(folder, 0o1777)
  chmodSync(path, 0o666)
  expect(sayings(['true'], path, { AS: String(NOBODY) })).toEqual(all(`${fixed}${path}`))
  expect(readdirSync(folder)).toEqual(['app.env'])
  chownSync(path, NOBODY, NOBODY)
  expect(sayings(['true'], path, { AS: String(NOBODY) })).toEqual(all('done'))
  expect(existsSync(join(folder, '.app.env.rekey-new'))).toBe(false)
})

const octal = (text: string) => text.replaceAll(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)

test('a mount point is known by its place in the file system, through any mount of the folder', () => {
  const name = fc.string({ minLength: 1, unit: fc.constantFrom('a', 'b', ' ', '\\', '\n', '0', '4') })
  fc.assert(
    fc.property(name, name, name, (part, file, other) => {
      const lines = [
        '20 1 8:1 / / rw - ext4 /dev/a rw',
        `21 20 8:2 / ${octal(`/m${part}`)} rw - ext4 /dev/b rw`,
        `22 20 8:2 ${octal(`/in${part}`)} /n rw - ext4 /dev/b rw`,
        `23 21 8:9 /x ${octal(`/m${part}/in${part}/${file}`)} rw - tmpfs none rw`,
      ]
      const at = (mount: string, path: string) => isMountedOn(parseMounts(lines.join('\n')), mount, path)
      expect(at('21', `/m${part}/in${part}/${file}`)).toBe(true)
      expect(at('22', `/n/${file}`)).toBe(true)
      expect(at('22', `/n/${file}c`)).toBe(false)
      expect(at('20', `/n/${file}`)).toBe(false)
      expect(at('22', `/n/${other}`)).toBe(other === file)
      expect(at('99', `/n/${file}`)).toBe(false)
    }),
  )
})
