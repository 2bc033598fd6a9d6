/** Where servers of the tests keep their data, and what is made once in a run and copied for each file's tests. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The run's folder, in the environment of its processes: test/run.ts makes and removes it. */
export const RUN_FOLDER = 'TEST_RUN_FOLDER'
/** Of that, the folder of this file's tests: test/setup.ts makes, searches and removes it. */
export const FILE_FOLDER = 'TEST_FILE_FOLDER'

/**
 * Where servers keep their data, whatever TMPDIR says: in memory, if the machine has enough. What Rekey writes for consumers is in
 * `tmpdir()`, since it writes nothing below /dev.
 */
export function serverFolder(): string {
  return process.env[FILE_FOLDER] ?? tmpdir()
}

/**
 * Copies the run's folder `name` to `target`, which must not exist: owners, rights and times as they are. Where there is none yet `make`
 * makes it, in a folder that it is given. False, and nothing is done, in a process that belongs to no run of tests.
 */
export async function copyOf(name: string, target: string, make: (folder: string) => Promise<void>): Promise<boolean> {
  const folder = process.env[RUN_FOLDER]
  if (folder === undefined) return false
  const original = join(folder, name)
  if (!existsSync(original)) await makeOnce(folder, original, make)
  await run('cp', ['-a', original, target])
  return true
}

/** Two processes that come at one moment both make it; the second to be ready removes its own. */
async function makeOnce(folder: string, original: string, make: (folder: string) => Promise<void>): Promise<void> {
  const making = await mkdtemp(join(folder, 'making-'))
  // Servers run as other users pass through.
  await chmod(making, 0o711)
  try {
    const made = join(making, 'made')
    await make(made)
    await rename(made, original)
  } catch (error) {
    if (!existsSync(original)) throw error
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}
