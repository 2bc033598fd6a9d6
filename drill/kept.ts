import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Known, killDatabases, removeNow, runs, stopKnown } from './processes.ts'

/** What runs because of a drill, so that `--stop` finds it, also after a drill that was killed. */
export interface Kept {
  readonly folder: string
  readonly processes: readonly Known[]
}

function fileIn(out: string): string {
  return join(out, 'running.json')
}

/**
 * Where the drills that `--keep` left running are noted, wherever their results go: one file for each, in a folder of this user alone. Read
 * once: a drill makes its own folder the one for temporary files.
 */
const NOTES = join(tmpdir(), `rekey-drills-${process.getuid?.() ?? 0}`)

/** A folder that somebody else made there says nothing. */
function isOurs(folder: string): boolean {
  const stat = lstatSync(folder, { throwIfNoEntry: false })
  return stat?.isDirectory() === true && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0
}

/** A path may hold what a name may not, and be longer. */
function noteOf(out: string): string {
  return join(NOTES, encodeURIComponent(resolve(out)).slice(-200))
}

/** Notes that a drill was left running, so that `--stop` finds it from any folder. */
export function noteLeft(out: string): void {
  mkdirSync(NOTES, { recursive: true, mode: 0o700 })
  if (isOurs(NOTES)) writeFileSync(noteOf(out), resolve(out), { mode: 0o600 })
}

/** The folders for results of this user's drills that were left running. */
export function leftAnywhere(): string[] {
  if (!isOurs(NOTES)) return []
  return readdirSync(NOTES).map((name) => readFileSync(join(NOTES, name), 'utf8'))
}

function forgetLeft(out: string): void {
  if (!isOurs(NOTES)) return
  rmSync(noteOf(out), { force: true })
  if (readdirSync(NOTES).length === 0) rmdirSync(NOTES)
}

/** Makes the folder for results. It keeps itself out of version control. */
export function makeOut(out: string): void {
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, '.gitignore'), '*\n')
}

/** Notes what runs. */
export function keep(out: string, kept: Kept): void {
  writeFileSync(fileIn(out), `${JSON.stringify(kept, null, 2)}\n`, { mode: 0o600 })
}

/** Forgets it. */
export function forget(out: string): void {
  rmSync(fileIn(out), { force: true })
  forgetLeft(out)
}

/** What was noted last, or null. */
export function kept(out: string): Kept | null {
  const path = fileIn(out)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Kept) : null
}

/** True if anything of it still runs. */
export function stillRuns({ processes }: Kept): boolean {
  return processes.some(runs)
}

/**
 * Stops everything that was noted, the last started first, and removes its folder. PostgreSQL and Rekey shut down in order.
 * Resolves with how many processes were stopped; 0 if nothing was noted.
 */
export async function stopKept(out: string): Promise<number> {
  const noted = kept(out)
  if (noted === null) return 0
  const alive = noted.processes.filter(runs)
  for (const known of alive.toReversed()) await stopKnown(known, known.what.startsWith('orders-db') ? 'SIGINT' : 'SIGTERM')
  killDatabases(noted.folder)
  removeNow(noted.folder)
  forget(out)
  return alive.length
}
