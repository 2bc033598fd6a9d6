import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { isCode, RekeyError, type Secret } from '../kernel/index.ts'
import { withKey } from './files.env.ts'
import { besideName, refuseOwnPlace } from './files.guard.ts'
import { requireMovable, requireReplaceable } from './files.replace.ts'
import { copyRights, type Rights } from './files.rights.ts'

/** Largest file of which one key is replaced. */
const FILE_MAX_BYTES = 1024 * 1024

/** Where a consumer reads its secret: a whole file, or one `KEY=value` line of an .env file. */
export interface Place {
  readonly path: string
  readonly key: string | null
  /** Of an alternating pair a consumer must also learn which account the value is for: written as `<key>_ACCOUNT`. */
  readonly account?: string | null
  /** Files and folders of Rekey itself, which no consumer's file may be or be in. */
  readonly keepOut?: readonly string[]
}

interface Present extends Rights {
  readonly text: string
  /** Of the last change of content, rights or name, nanoseconds by the file system's clock. */
  readonly changedNs: bigint
}

/** Throws `bad_input` for a path that is relative, or not in its plainest form (`..`, `//`). */
export function checkPath(path: string): void {
  if (isAbsolute(path) && !path.includes('\0') && join(path) === path && !path.endsWith('/')) return
  throw new RekeyError('bad_input', `Not an absolute, plain file path: ${JSON.stringify(path)}`)
}

const NOT_A_FILE = { hint: 'Name the file itself, not a link.' }
const MORE_NAMES = {
  hint: 'Find its other names (`find / -xdev -samefile FILE`), remove them or make them symbolic links to this file, and try again.',
}

/**
 * The file, or null; `at` is how it is reached, `path` how it is called. Opened once, without following a link, and looked at, read and
 * copied through that handle only: whoever may write the folder could exchange the name for a link to any file between two looks.
 */
async function openPresent(at: string, path: string): Promise<FileHandle | null> {
  try {
    return await open(at, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'ENOENT') return null
    if (code === 'ELOOP') throw new RekeyError('conflict', `Not a regular file: ${path}`, NOT_A_FILE)
    throw error
  }
}

/** The file as it is. Its bytes are kept as they are, whatever their encoding (latin1 maps each to one character and back). */
async function readPresent(file: FileHandle, path: string): Promise<Present> {
  const { mode, uid, gid, size, ctimeNs, nlink } = await file.stat({ bigint: true })
  if ((Number(mode) & 0o170000) !== 0o100000) throw new RekeyError('conflict', `Not a regular file: ${path}`, NOT_A_FILE)
  // A new file takes this name alone: who reads by another would go on with the old value. Nor is what may be a stranger's copied.
  if (nlink > 1n)
    throw new RekeyError('conflict', `The file has more than one name, and only this one would get the value: ${path}`, MORE_NAMES)
  if (size > FILE_MAX_BYTES) throw new RekeyError('too_large', `The file is larger than ${FILE_MAX_BYTES} bytes: ${path}`)
  const text = await file.readFile('latin1')
  return { text, mode: Number(mode) & 0o777, uid: Number(uid), gid: Number(gid), changedNs: ctimeNs }
}

async function present(at: string, path: string): Promise<Present | null> {
  await using file = await openPresent(at, path)
  return file && (await readPresent(file, path))
}

/** UTF-8 text as `present` keeps the bytes of files. */
function asBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** The keys of a file that are written for a consumer: of an alternating pair the account too. Null: the whole file. */
export function keysWritten(key: string | null, alternating: boolean): readonly (string | null)[] {
  return key !== null && alternating ? [key, accountKey(key)] : [key]
}

const accountKey = (key: string) => `${key}_ACCOUNT`

function contentOf(place: Place, before: Present | null, secret: Secret): string {
  const { key, account } = place
  if (key === null) return secret.revealText((value) => asBytes(`${value}\n`))
  const text = secret.revealText((value) => withKey(before?.text ?? '', key, asBytes(value), place.path))
  return account ? withKey(text, accountKey(key), asBytes(account), place.path) : text
}

/** The folder of a place, held open: everything is done through the handle, so that a name above it can be exchanged unharmed. */
interface Folder {
  readonly handle: FileHandle
  readonly name: string
  readonly file: string
  /** The file written beside its place: same folder, so that the rename is atomic and a full disk shows itself now. */
  readonly beside: string
}

/** Throws `bad_input` for a path that is not plain, `conflict` if the folder that it really leads to is none to write in. */
async function inFolder<T>(place: Place, use: (folder: Folder) => Promise<T>): Promise<T> {
  checkPath(place.path)
  const handle = await open(dirname(place.path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const held = `/proc/self/fd/${handle.fd}`
    const name = basename(place.path)
    await refuseOwnPlace(place.path, handle, place.keepOut ?? [])
    return await use({ handle, name, file: join(held, name), beside: join(held, besideName(name)) })
  } finally {
    await handle.close()
  }
}

/** Writes the new file beside the old one and syncs it. Called before an in-place install, so that only a rename is left for after. */
export async function prepareFile(place: Place, secret: Secret): Promise<void> {
  await inFolder(place, async (folder) => prepareIn(folder, place, secret))
}

/**
 * Throws as `placeFile` would for what only a human can mend: a file that is none, that cannot be replaced, or in which the key's place is
 * not certain. Writes nothing. That the folder is missing or the disk full is left to the writing itself, which is tried again.
 */
export async function checkFile(place: Place, secret: Secret): Promise<void> {
  try {
    await inFolder(place, async ({ handle, name, file: at }) => {
      await using source = await openPresent(at, place.path)
      contentOf(place, source && (await readPresent(source, place.path)), secret)
      if (source) await requireReplaceable(handle, source, name, place.path)
    })
  } catch (error) {
    if (error instanceof RekeyError) throw error
  }
}

async function prepareIn({ handle, name, file: at, beside }: Folder, place: Place, secret: Secret): Promise<void> {
  await using source = await openPresent(at, place.path)
  const before = source && (await readPresent(source, place.path))
  const content = contentOf(place, before, secret)
  if (source) await requireReplaceable(handle, source, name, place.path)
  await rm(beside, { force: true })
  const file = await open(beside, 'wx', 0o600)
  try {
    if (source && before) await copyRights(source, file, before, place.path)
    await requireMovable(beside, place.path)
    await file.writeFile(content, 'latin1')
    await file.sync()
  } catch (error) {
    // What was wrong is told, also where it keeps this from being removed.
    await rm(beside, { force: true }).catch(() => {})
    throw error
  } finally {
    await file.close()
  }
}

/**
 * Puts the value in its place for good: whole or not at all. The caller holds the lock on the path, since keys share files.
 * `visible` is called when readers find it there, before the folder is synced.
 */
export async function placeFile(place: Place, secret: Secret, visible: () => void = () => {}): Promise<void> {
  await inFolder(place, async (folder) => {
    const { file, beside, handle } = folder
    const before = await present(file, place.path)
    const content = contentOf(place, before, secret)
    if (before !== null && before.text === content) {
      visible()
      return rm(beside, { force: true })
    }
    if (!(await isPrepared(folder, content, before))) await prepareIn(folder, place, secret)
    await rename(beside, file)
    visible()
    await handle.sync()
  })
}

/**
 * True if what lies beside the file is just what would be written now: nothing else of the file changed since it was prepared, and nobody
 * has taken a right on it from anybody (which changes a file too, the lists that are not seen here included).
 */
async function isPrepared({ beside }: Folder, content: string, before: Present | null): Promise<boolean> {
  try {
    const prepared = await present(beside, beside)
    return prepared?.text === content && (before === null || prepared.changedNs > before.changedNs)
  } catch {
    return false
  }
}

/** Removes what `prepareFile` left, when a rotation is undone. Where nothing could have been prepared, there is nothing to do. */
export async function dropPrepared(place: Place): Promise<void> {
  try {
    await inFolder(place, ({ beside }) => rm(beside, { force: true }))
  } catch (error) {
    if (!isCode(error, 'conflict') && (error as { code?: string }).code !== 'ENOENT') throw error
  }
}
