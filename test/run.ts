/**
 * Before the first and after the last test of a run: the folder where its servers keep their data, and what its tests copy
 * (test/lab/copies.ts). In memory where the machine has enough of it: a thousand databases are made and dropped in a run, and on a disk
 * each costs a quarter of a second of processor time, in memory a twentieth.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { RUN_FOLDER } from './lab/copies.ts'

const MEMORY = '/dev/shm'
/** Far more than a run was seen to need. A container's usual 64 MiB would never do. */
const ENOUGH_BYTES = 6 * 1024 ** 3
/** Where bin/rekey keeps compiled code: it halves the start of every process, the tests' own and those that they start. */
const COMPILED = new URL('../node_modules/.cache/rekey', import.meta.url).pathname

export default function setup(): () => void {
  process.env.NODE_COMPILE_CACHE ??= COMPILED
  const folder = mkdtempSync(join(fits(MEMORY) ? MEMORY : tmpdir(), 'rk-'))
  // Servers run as other users pass through.
  chmodSync(folder, 0o711)
  process.env[RUN_FOLDER] = folder
  return () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}

/** True for a file system in memory with room, where the machine has that room too. */
function fits(path: string): boolean {
  try {
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
    const { bavail, bsize } = statfsSync(path)
    return (
      mounts.some((line) => line.split(' ', 3).slice(1).join() === `${path},tmpfs`) && Math.min(bavail * bsize, freemem()) > ENOUGH_BYTES
    )
  } catch {
    return false
  }
}
