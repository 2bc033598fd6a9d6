import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Known, killDatabases, removeNow, runs, stopKnown } from './processes.ts'

/** What runs because of a drill, so that `--stop` finds it, also after a drill that was killed. */
export interface Kept {
  readonly folder: string
  readonly processes: readonly Known[]
}

function fileIn(out: string): string {
  return join(out, 'running.json')
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
