import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { RekeyError, type Secret } from '../kernel/index.ts'

/** Largest file of which one key is replaced. */
const FILE_MAX_BYTES = 1024 * 1024

/** Where a consumer reads its secret: a whole file, or one `KEY=value` line of an .env file. */
export interface Place {
  readonly path: string
  readonly key: string | null
  /** Of an alternating pair a consumer must also learn which account the value is for: written as `<key>_ACCOUNT`. */
  readonly account?: string | null
}

interface Present {
  readonly text: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** Throws `bad_input` for a path that is relative, or not in its plainest form (`..`, `//`). */
export function checkPath(path: string): void {
  if (isAbsolute(path) && !path.includes('\0') && join(path) === path && !path.endsWith('/')) return
  throw new RekeyError('bad_input', `Not an absolute, plain file path: ${JSON.stringify(path)}`)
}

const NOT_A_FILE = { hint: 'Name the file itself, not a link.' }

/**
 * The file as it is, or null. Opened once, without following a link, and looked at and read through that handle only: whoever may
 * write the folder could exchange the name for a link to any file between two looks.
 * Its bytes are kept as they are, whatever their encoding (latin1 maps each to one character and back).
 */
async function present(path: string): Promise<Present | null> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'ENOENT') return null
    if (code === 'ELOOP') throw new RekeyError('conflict', `Not a regular file: ${path}`, NOT_A_FILE)
    throw error
  }
  try {
    const { mode, uid, gid, size } = await file.stat()
    if ((mode & 0o170000) !== 0o100000) throw new RekeyError('conflict', `Not a regular file: ${path}`, NOT_A_FILE)
    if (size > FILE_MAX_BYTES) throw new RekeyError('too_large', `The file is larger than ${FILE_MAX_BYTES} bytes: ${path}`)
    return { text: await file.readFile('latin1'), mode: mode & 0o777, uid, gid }
  } finally {
    await file.close()
  }
}

/** UTF-8 text as `present` keeps the bytes of files. */
function asBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** Characters that need no quotes in an .env file, whichever reader it has. */
const PLAIN = /^[A-Za-z0-9_.:/@%+=,-]*$/

function line(key: string, value: string): string {
  return PLAIN.test(value) ? `${key}=${value}` : `${key}="${value.replace(/["\\$`]/g, '\\$&').replaceAll('\n', '\\n')}"`
}

/** The file's text with one key set: its line replaced in place (an `export` kept), or added at the end. */
export function withKey(text: string, key: string, value: string): string {
  const lines = text.split('\n')
  const at = lines.findLastIndex((each) => each.replace(/^\s*(export\s+)?/, '').startsWith(`${key}=`))
  if (at >= 0) {
    const prefix = /^\s*(export\s+)?/.exec(lines[at] ?? '')?.[0] ?? ''
    return lines.with(at, prefix + line(key, value)).join('\n')
  }
  const body = text === '' || text.endsWith('\n') ? text : `${text}\n`
  return `${body}${line(key, value)}\n`
}

function contentOf(place: Place, before: Present | null, secret: Secret): string {
  const { key, account } = place
  if (key === null) return secret.revealText((value) => asBytes(`${value}\n`))
  const text = secret.revealText((value) => withKey(before?.text ?? '', key, asBytes(value)))
  return account ? withKey(text, `${key}_ACCOUNT`, asBytes(account)) : text
}

/** The file written beside its place: same folder, so that the rename is atomic and a full disk shows itself now. */
function besideOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.rekey-new`)
}

/** Writes the new file beside the old one and syncs it. Called before an in-place install, so that only a rename is left for after. */
export async function prepareFile(place: Place, secret: Secret): Promise<void> {
  checkPath(place.path)
  const before = await present(place.path)
  const beside = besideOf(place.path)
  await rm(beside, { force: true })
  const file = await open(beside, 'wx', before?.mode ?? 0o600)
  try {
    await writeOwned(file, contentOf(place, before, secret), before)
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

async function writeOwned(file: FileHandle, text: string, before: Present | null): Promise<void> {
  if (before !== null) {
    await file.chmod(before.mode)
    if (process.getuid?.() === 0) await file.chown(before.uid, before.gid)
  }
  await file.writeFile(text, 'latin1')
  await file.sync()
}

/**
 * Puts the value in its place for good: whole or not at all. The caller holds the lock on the path, since keys share files.
 * `visible` is called when readers find it there, before the folder is synced.
 */
export async function placeFile(place: Place, secret: Secret, visible: () => void = () => {}): Promise<void> {
  checkPath(place.path)
  const before = await present(place.path)
  if (before !== null && before.text === contentOf(place, before, secret)) {
    visible()
    return dropPrepared(place)
  }
  if (!(await isPrepared(place, contentOf(place, before, secret)))) await prepareFile(place, secret)
  await rename(besideOf(place.path), place.path)
  visible()
  const folder = await open(dirname(place.path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** True if what lies beside the file is just what would be written now: nothing else of the file changed since it was prepared. */
async function isPrepared(place: Place, content: string): Promise<boolean> {
  try {
    return (await present(besideOf(place.path)))?.text === content
  } catch {
    return false
  }
}

/** Removes what `prepareFile` left, when a rotation is undone. */
export async function dropPrepared(place: Place): Promise<void> {
  await rm(besideOf(place.path), { force: true })
}
