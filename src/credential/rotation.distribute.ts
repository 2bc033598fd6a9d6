import { dirname } from 'node:path'
import { RekeyError } from '../kernel/index.ts'
import { placeId } from './files.own.ts'
import { checkFile, dropPrepared, type Place, placeFile, prepareFile } from './files.ts'
import type { RotationParts, Run, StepResult } from './rotation.run.ts'
import type { WorkConsumer, WorkVersion } from './rotation.store.ts'

const FILE_LOCK = 7_395
const REAL_FILE_LOCK = 7_396

function placesOf(run: Run, version: WorkVersion | null): { readonly name: string; readonly place: Place }[] {
  return placesIn(run.parts, run.work.consumers, run.plan.otherAccount && version !== null ? version.account : null)
}

type FileParts = Pick<RotationParts, 'store' | 'keepOut'>

function placesIn({ keepOut = [] }: FileParts, consumers: readonly WorkConsumer[], account: string | null) {
  return consumers.flatMap(({ name, path, key }) => (path === null ? [] : [{ name, place: { path, key, account, keepOut } }]))
}

/** File errors become ours: the path is told, the content never. */
async function onFile<T>(name: string, place: Place, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (error) {
    if (error instanceof RekeyError) throw error
    const code = (error as { code?: string }).code ?? 'unknown'
    throw new RekeyError('unavailable', `The file of consumer ${name} cannot be written (${code}): ${place.path}`, {
      hint: code === 'ENOENT' ? `Make the folder ${dirname(place.path)}.` : 'Make room or give Rekey the right to write there.',
      detail: code,
    })
  }
}

/**
 * Everything that can fail in distribution is done before an install that kills the old value: only renames are left for after. Before
 * another install it is seen that every file can be written without doubt.
 */
export async function prepare(run: Run, version: WorkVersion): Promise<void> {
  const secret = run.valueOf(version)
  if (secret === null) return
  for (const { name, place } of placesOf(run, version)) {
    const use = run.plan.oldDiesAtInstall ? prepareFile : checkFile
    await locked(run.parts, place, () => onFile(name, place, () => use(place, secret)))
  }
}

/**
 * Two rotations may write different keys of one file, in different processes, and reach it by different paths: the lock is the
 * database's, and on the path (processes on several machines) and then on the file that it leads to (links, folders mounted twice).
 */
async function locked({ store }: FileParts, place: Place, use: () => Promise<void>): Promise<void> {
  await store.inTx(async (tx) => {
    await tx.query('select pg_advisory_xact_lock($1, hashtext($2)), pg_advisory_xact_lock($3, hashtext($4))', [
      FILE_LOCK,
      place.path,
      REAL_FILE_LOCK,
      await placeId(place.path),
    ])
    await use()
  })
}

/** Writes a version's value into every consumer's file; `visible` is called when the last of them holds it. */
export async function writeFiles(run: Run, version: WorkVersion, visible: () => void = () => {}): Promise<string[]> {
  const secret = run.valueOf(version)
  if (secret === null) return []
  const places = placesOf(run, version)
  for (const [at, { name, place }] of places.entries()) {
    const told = at === places.length - 1 ? visible : undefined
    await locked(run.parts, place, () => onFile(name, place, () => placeFile(place, secret, told)))
  }
  return places.map(({ name }) => name)
}

/**
 * Puts the files in place at once after an install that killed the old value. Calls `over` when every consumer's file holds the new
 * one, or when that failed; resolves when it is durable too. Never rejects: a file that cannot be written is told by `distribute`.
 */
export async function placeEarly(run: Run, over: () => void): Promise<void> {
  try {
    await writeFiles(run, run.fresh().version, () => {
      run.placedMs = run.ctx.clock.monotonicMs()
      over()
    })
  } catch {
    run.placedMs = null
  } finally {
    over()
  }
}

/** Removes prepared files of a rotation that is undone. */
export async function dropFiles(run: Run): Promise<void> {
  await dropFilesOf(run.parts, [...run.work.consumers, ...run.work.leftOut])
}

/** Removes what a rotation has prepared beside the files of these consumers. */
export async function dropFilesOf(parts: FileParts, consumers: readonly WorkConsumer[]): Promise<void> {
  // Another rotation may be placing another key of the same file.
  for (const { name, place } of placesIn(parts, consumers, null))
    await locked(parts, place, () => onFile(name, place, () => dropPrepared(place)))
}

/** Hands the new value to the consumers' files and, in-place, measures how long they held only a dead one. */
export async function distribute(run: Run): Promise<StepResult> {
  // Sessions after the mark show that a consumer has moved: the mark is on record before any consumer can read the value, or one that
  // logs in just before a crash would never be seen.
  if (run.placedMs === null && run.work.consumers.some(({ activation }) => activation === 'session')) await run.commit({ goOn: true })
  const consumers = run.placedMs === null ? await writeFiles(run, run.fresh().version) : placesOf(run, null).map(({ name }) => name)
  await run.trap('after_files')
  await endUntold(run)
  run.progress.distributed_at = run.now()
  run.progress.tries = 0
  run.progress.problem = null
  // Without a file there is nobody who held only a dead value that Rekey knows of.
  if (run.progress.gap_ms === null && consumers.length > 0) run.progress.gap_ms = gapMs(run)
  const leftOut = run.work.leftOut.map(({ name }) => name)
  run.move('distributed', { consumers, gapMs: run.progress.gap_ms, ...(leftOut.length === 0 ? {} : { leftOut }) })
  return 'go'
}

/**
 * An interrupted install was made again, with a later mark: sessions that consumers opened with the new value meanwhile would count as
 * old for ever. In-place they cannot be told from old ones, which are to end anyway; with the file in place everybody comes back as new.
 */
async function endUntold(run: Run): Promise<void> {
  const { progress, work } = run
  if (run.interruptedAt === null || progress.mark === null || !work.consumers.some((consumer) => consumer.activation === 'session')) return
  const ended = await run.target.endSessions(run.ctx, work.newAccount, progress.mark)
  progress.sessions_ended = (progress.sessions_ended ?? 0) + ended
}

/** From just before the install call to the last file written. After a crash the clock of the first process is gone: wall time then. */
function gapMs(run: Run): number {
  if (run.interruptedAt !== null) return Math.max(0, run.now().getTime() - run.interruptedAt.getTime())
  const since = run.installedMs
  if (since !== null) return Math.round(((run.placedMs ?? run.ctx.clock.monotonicMs()) - since) * 100) / 100
  return Math.max(0, run.now().getTime() - (run.progress.installed_at ?? run.now()).getTime())
}
