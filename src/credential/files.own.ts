/**
 * Whether a place is in one of some folders however it is reached: by links, by a folder or file that is mounted a second time, by a
 * second name of a file, by the folders that /proc shows of another process. Paths tell nothing of that; device and inode do, of the
 * folder that is held open and of all above it. One thing they do not tell is what is above a folder that is mounted by itself: there
 * the place in the file system is compared, which the kernel tells of every mount that this process sees; of another mount, each folder
 * of the trees is looked at.
 */
import { realpathSync, statSync } from 'node:fs'
import { type FileHandle, lstat, readdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isWithin, type Mount, type Mounts, mountOf, pathOf, spotAt, spotOf } from './files.mounts.ts'

type Id = string
const idOf = ({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): Id => `${dev}:${ino}`

/** Files and folders, as the file systems have them at one moment. */
export interface Trees {
  readonly paths: readonly string[]
  /** Of what is there; of what is not, the folder and the name. Of what is mounted in them too. */
  readonly ids: ReadonlySet<Id>
  /** What is mounted in them: it is theirs. */
  readonly points: readonly Mount[]
  readonly mounts: Mounts
  /** Whether all that is in them can be looked through. */
  readonly isDeep: boolean
}

/**
 * Looks at some files and folders, those of this process: it waits for none of them longer than for its own program and keys.
 * `isDeep`: false for what the kernel makes up.
 */
export function treesOf(paths: readonly string[], mounts: Mounts, isDeep: boolean): Trees {
  const reals = isDeep ? paths.flatMap((path) => orNull(() => realpathSync.native(path, 'latin1')) ?? []) : []
  const points = [...mounts.values()].filter(({ at }) => reals.some((real) => isWithin(at, real)))
  const all: (string | Buffer)[] = [...paths, ...points.map(({ at }) => Buffer.from(at, 'latin1'))]
  const ids = all.flatMap((path) => orNull(() => idOf(statSync(path, { bigint: true }))) ?? [])
  const named = paths.flatMap((path) => orNull(() => `${idOf(statSync(dirname(path), { bigint: true }))}/${basename(path)}`) ?? [])
  return { paths, ids: new Set([...ids, ...named]), points, mounts, isDeep }
}

function orNull<T>(look: () => T): T | null {
  try {
    return look()
  } catch {
    return null
  }
}

/** A folder that is held open, and all that tells where it is. */
export interface Held {
  /** As the kernel calls it now, each byte as a character. */
  readonly path: string
  /** Itself first, and those above it, by the ways out of each mount that led to it. */
  readonly above: readonly Id[]
  /** Its place in its file system if that tells more than `above`. Null: it was reached through a mount that this process does not see. */
  readonly spot: string | null | undefined
}

/** Looks at an open folder. Rejects as the file system does. */
export async function lookAt(handle: FileHandle, mounts: Mounts): Promise<Held> {
  const path = pathOf(handle)
  // One more than there are: the root is its own parent, which shows that it is the root.
  const above = await idsAbove(handle, path.split('/').length + 1)
  const isWhole = mounts.get(mountOf(handle))?.root === '/'
  return { path, above, spot: isWhole ? undefined : spotOf(handle, mounts) }
}

/** From an open folder up to the root, so many levels or more. What may not be passed through ends it: nothing of Rekey's is above. */
async function idsAbove(folder: FileHandle, levels: number): Promise<Id[]> {
  const look = (up: number) =>
    stat(`/proc/self/fd/${folder.fd}${'/..'.repeat(up)}`, { bigint: true }).then(idOf, (error: { code?: string }) => {
      if (error.code === 'EACCES') return null
      throw error
    })
  const ids = await Promise.all(Array.from({ length: levels }, (_, up) => look(up)))
  return ids.at(-1) === ids.at(-2) ? ids.filter((id) => id !== null) : idsAbove(folder, 2 * levels)
}

/** True if the file in such a folder is one of the trees or in one, there or not yet. `way`: the path by which it is reached. */
export async function isInTrees({ path, above, spot }: Held, way: string, trees: Trees): Promise<boolean> {
  const { ids, mounts, isDeep } = trees
  const name = basename(way)
  const file = await lstat(way, { bigint: true }).catch(() => null)
  const known = [...above, `${above[0]}/${name}`, ...(file === null ? [] : [idOf(file)])]
  if (known.some((id) => ids.has(id))) return true
  // A file that is mounted by itself: the folder does not tell where it is.
  const at = join(path, Buffer.from(name).toString('latin1'))
  const mounted = [...mounts.values()].filter((mount) => mount.at === at).map(({ device, root }) => `${device} ${root}`)
  const hasOthers = file !== null && !file.isDirectory() && file.nlink > 1n
  if (spot === undefined && mounted.length === 0 && !hasOthers) return false
  const spots = spotsOf(trees)
  const isWithinOne = (each: string) => spots.some((tree) => tree !== null && isWithin(each, tree))
  if ([...(spot ? [spot] : []), ...mounted].some(isWithinOne)) return true
  const isUnsure = hasOthers || spot === null || spots.includes(null)
  return isDeep && isUnsure && isAnyBelow(trees.paths, new Set(known))
}

/** Where in their file systems they lie, as `major:minor /path`. Null: that of one is not seen. */
function spotsOf({ paths, points, mounts }: Trees): (string | null)[] {
  const own = paths.map((path) => spotAt(path, mounts)).filter((each) => each !== undefined)
  return [...own, ...points.map(({ device, root }) => `${device} ${root}`)]
}

/** True if a folder or file of the trees is one of these. Goes through all of them: thousands of files. */
async function isAnyBelow(trees: readonly string[], wanted: ReadonlySet<Id>): Promise<boolean> {
  const seen = new Set<Id>()
  const rest = await Promise.all(trees.map((tree) => realPathOf(tree)))
  for (let at = rest.pop(); at !== undefined; at = rest.pop()) {
    const folder = at
    const found = await lstat(folder, { bigint: true }).catch(() => null)
    if (found === null) continue
    const id = idOf(found)
    if (wanted.has(id)) return true
    if (!found.isDirectory() || seen.has(id)) continue
    seen.add(id)
    rest.push(...(await readdir(folder).catch(() => [])).map((name) => join(folder, name)))
  }
  return false
}

/** The path with every link in it followed, as far as it exists; the rest stays as written. */
export async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch {
    const above = dirname(path)
    return above === path ? path : join(await realPathOf(above), basename(path))
  }
}

/**
 * What tells one file from another however it is reached, by links in the folders above or by a folder that is mounted twice: the folder
 * itself and the name in it. Where there is no such folder yet, its path with links followed.
 */
export async function placeId(path: string): Promise<string> {
  try {
    return `${idOf(await stat(dirname(path), { bigint: true }))}/${basename(path)}`
  } catch {
    return join(await realPathOf(dirname(path)), basename(path))
  }
}
