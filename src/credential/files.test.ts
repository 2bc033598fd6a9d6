import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { isCode, Secret } from '../kernel/index.ts'
import { placeId } from './files.own.ts'
import { checkPath, dropPrepared, placeFile, prepareFile } from './files.ts'

const root = mkdtempSync(join(tmpdir(), 'rekey-files-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folder: string
let serial = 0
beforeEach(() => {
  folder = join(root, String(++serial))
  mkdirSync(folder)
})

const secret = (text: string) => Secret.fromText(text)

test('one key is replaced where it stands; the rest of the file, its mode and its comments stay', async () => {
  const path = join(folder, 'app.env')
  writeFileSync(path, '# db\nexport DB_PASSWORD=old\nOTHER=1\n')
  chmodSync(path, 0o640)
  await placeFile({ path, key: 'DB_PASSWORD' }, secret('new'))
  expect(readFileSync(path, 'utf8')).toBe('# db\nexport DB_PASSWORD=new\nOTHER=1\n')
  expect(statSync(path).mode & 0o777).toBe(0o640)
  expect(readdirSync(folder)).toEqual(['app.env'])
})

test('a file that was not there is made 0600; a whole file is the value and a line break', async () => {
  const path = join(folder, 'x.secret')
  await placeFile({ path, key: null }, secret('value'))
  expect(readFileSync(path, 'utf8')).toBe('value\n')
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('a reader sees the old value or the new one, never half a file', async () => {
  const path = join(folder, 'x.secret')
  const values = ['a'.repeat(4000), 'b'.repeat(4000)]
  writeFileSync(path, `${values[0]}\n`)
  let writing = true
  const writer = (async () => {
    for (let i = 0; i < 200; i++) await placeFile({ path, key: null }, secret(values[(i + 1) % 2] ?? ''))
    writing = false
  })()
  while (writing) {
    expect(values).toContain(readFileSync(path, 'utf8').trim())
    await new Promise((resolve) => setImmediate(resolve))
  }
  await writer
})

test('a link, a folder, a relative path or one with .. is refused, and nothing is written through it', async () => {
  const elsewhere = join(folder, 'elsewhere')
  writeFileSync(elsewhere, 'untouched')
  symlinkSync(elsewhere, join(folder, 'link'))
  mkdirSync(join(folder, 'sub'))
  await expect(placeFile({ path: join(folder, 'link'), key: null }, secret('x'))).rejects.toSatisfy((error) => isCode(error, 'conflict'))
  await expect(placeFile({ path: join(folder, 'sub'), key: null }, secret('x'))).rejects.toSatisfy((error) => isCode(error, 'conflict'))
  expect(readFileSync(elsewhere, 'utf8')).toBe('untouched')
  for (const path of ['x', './x', '/a/../b', '/a//b', '/a/', '/a\0b', '']) expect(() => checkPath(path), path).toThrow('plain file path')
})

test('a link planted where the new file is prepared is not followed', async () => {
  const path = join(folder, 'x.secret')
  const elsewhere = join(folder, 'elsewhere')
  writeFileSync(elsewhere, 'untouched')
  symlinkSync(elsewhere, join(folder, '.x.secret.rekey-new'))
  await placeFile({ path, key: null }, secret('value'))
  expect(readFileSync(elsewhere, 'utf8')).toBe('untouched')
  expect(readFileSync(path, 'utf8')).toBe('value\n')
})

test('bytes that are not UTF-8 stay as they are', async () => {
  const path = join(folder, 'latin.env')
  writeFileSync(path, Buffer.from('NAME=caf\xe9\nKEY=old\n', 'latin1'))
  await placeFile({ path, key: 'KEY' }, secret('né'))
  expect(readFileSync(path)).toEqual(Buffer.concat([Buffer.from('NAME=caf\xe9\n', 'latin1'), Buffer.from('KEY="né"\n')]))
})

test('a name that is exchanged for a link all the while never leads to the file behind the link', async () => {
  const [path, foreign] = [join(folder, 'b.env'), join(folder, 'foreign')]
  writeFileSync(foreign, 'FOREIGN-SECRET\n')
  let racing = true
  const racer = (async () => {
    while (racing) {
      rmSync(path, { force: true })
      symlinkSync(foreign, path)
      await new Promise((resolve) => setImmediate(resolve))
      rmSync(path, { force: true })
      writeFileSync(path, 'KEY=mine\n')
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  for (let i = 0; i < 300; i++) {
    await prepareFile({ path, key: 'KEY' }, secret('new')).catch(() => undefined)
    const beside = join(folder, '.b.env.rekey-new')
    if (existsSync(beside)) expect(readFileSync(beside, 'utf8')).not.toContain('FOREIGN')
  }
  racing = false
  await racer
})

test('what was prepared is used if the file is as it was, made anew if not, and taken away by an undo', async () => {
  const path = join(folder, 'app.env')
  writeFileSync(path, 'A=1\nKEY=old\n')
  await prepareFile({ path, key: 'KEY' }, secret('new'))
  writeFileSync(path, 'A=2\nKEY=old\n')
  await placeFile({ path, key: 'KEY' }, secret('new'))
  expect(readFileSync(path, 'utf8')).toBe('A=2\nKEY=new\n')
  await prepareFile({ path, key: 'KEY' }, secret('newer'))
  await dropPrepared({ path, key: 'KEY' })
  expect(readdirSync(folder)).toEqual(['app.env'])
  expect(existsSync(join(folder, '.app.env.rekey-new'))).toBe(false)
})

test("nothing is written into Rekey's own folders or where the kernel shows files, links in the path followed", async () => {
  const own = join(folder, 'data')
  mkdirSync(join(own, 'deep'), { recursive: true })
  symlinkSync(own, join(folder, 'door'))
  symlinkSync('/proc/self', join(folder, 'self'))
  symlinkSync('/dev/shm', join(folder, 'shm'))
  const keepOut = [join(folder, 'door'), join(folder, 'one.token')]
  const refused = [
    ...[join(own, 'x'), join(own, 'deep/x'), join(folder, 'door/deep/x'), join(folder, 'one.token')],
    ...['/proc/self/comm', '/dev/null', '/sys/kernel/x', join(folder, 'self/comm'), join(folder, 'shm/x')],
  ]
  for (const path of refused) {
    const place = { path, key: null, keepOut }
    const code = existsSync(join(path, '..')) ? 'conflict' : 'ENOENT'
    for (const write of [placeFile, prepareFile]) {
      await expect(write(place, secret('x')), path).rejects.toMatchObject({ code })
    }
    await dropPrepared(place)
  }
  expect(readdirSync(own)).toEqual(['deep'])
  expect(readdirSync(join(own, 'deep'))).toEqual([])
  await placeFile({ path: join(folder, 'data-of-others'), key: null, keepOut }, secret('x'))
  await placeFile({ path: join(folder, 'two.token'), key: null, keepOut }, secret('x'))
})

test('a folder above that is exchanged for a link all the while never leads into a folder of ours', async () => {
  const own = join(folder, 'data')
  const above = join(folder, 'above')
  mkdirSync(own)
  let racing = true
  const racer = (async () => {
    while (racing) {
      rmSync(above, { force: true, recursive: true })
      symlinkSync(own, above)
      await new Promise((resolve) => setImmediate(resolve))
      rmSync(above, { force: true })
      mkdirSync(above)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  const ends = new Set<string>()
  for (let i = 0; i < 400; i++) {
    const place = { path: join(above, 'x'), key: null, keepOut: [own] }
    await placeFile(place, secret('x')).then(
      () => ends.add('written'),
      (error: { code?: string }) => ends.add(error.code ?? 'unknown'),
    )
  }
  racing = false
  await racer
  expect(readdirSync(own)).toEqual([])
  expect([...ends]).toContain('conflict')
})

test('a file is one and the same by every path that leads to it, and another name or folder is another file', async () => {
  mkdirSync(join(folder, 'a'))
  mkdirSync(join(folder, 'b'))
  symlinkSync(join(folder, 'a'), join(folder, 'link'))
  const [one, two] = [await placeId(join(folder, 'a/x')), await placeId(join(folder, 'link/x'))]
  expect(two).toBe(one)
  const others = await Promise.all(['a/y', 'b/x', 'link/y', 'none/x'].map((path) => placeId(join(folder, path))))
  expect(others).not.toContain(one)
})

test('nothing is written where Rekey would prepare the file of another consumer', async () => {
  const path = join(folder, '.p.env.rekey-new')
  await expect(placeFile({ path, key: null }, secret('value'))).rejects.toSatisfy((error) => isCode(error, 'conflict'))
  expect(existsSync(path)).toBe(false)
})
