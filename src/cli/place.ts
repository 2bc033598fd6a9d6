import { open, rm } from 'node:fs/promises'
import { RekeyError } from '../kernel/index.ts'
import { codeOf } from './files.ts'

/** Where a new token goes: to the file, if there is one. Resolves with what is left to be shown: null if the file has it. */
export type Keep = (token: string) => Promise<string | null>

/**
 * Runs `work` with a place for a new token. The file is opened before the token is made: a place that cannot be written must not cost a
 * token. It must not be there yet, so that nothing is written through a link or over another secret; one that stays empty is removed.
 */
export async function withPlace(path: string | undefined, work: (keep: Keep) => Promise<void>): Promise<void> {
  if (path === undefined) return work(async (token) => token)
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    throw new RekeyError('bad_input', `The token file cannot be made: ${path} (${codeOf(error)}).`, {
      hint: 'Name a file that is not there.',
    })
  })
  try {
    await work(async (token) => {
      await file.writeFile(`${token}\n`)
      await file.sync()
      return null
    })
  } catch (error) {
    const { size } = await file.stat()
    if (size === 0) await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}
