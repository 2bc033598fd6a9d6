import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { RekeyError } from '../kernel/index.ts'
import { POLICY_SET_MAX_BYTES, type PolicyFile } from '../policy/index.ts'
import { codeOf, readRegular } from './files.ts'

/**
 * Every `*.cedar` of a folder, by name. Throws `bad_input` if it cannot be read, holds none or one that is no UTF-8: an empty folder is
 * a mistake and no wish for the default set. `too_large` if they are more than a set may have.
 */
export async function readPolicyFolder(folder: string): Promise<PolicyFile[]> {
  const entries = await readdir(folder).catch((error: unknown) => {
    throw new RekeyError('bad_input', `The folder cannot be read: ${folder} (${codeOf(error)}).`)
  })
  const names = entries.filter((name) => name.endsWith('.cedar')).sort()
  if (names.length === 0) throw new RekeyError('bad_input', `There is no file *.cedar in ${folder}.`)
  const files: PolicyFile[] = []
  let left = POLICY_SET_MAX_BYTES
  for (const name of names) {
    const path = join(folder, name)
    const { bytes } = await readRegular(path, left)
    left -= bytes.length
    if (left < 0) throw new RekeyError('too_large', `The policies are larger than ${POLICY_SET_MAX_BYTES / 1024} KiB together.`)
    files.push({ name, text: textOf(path, bytes) })
  }
  return files
}

function textOf(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new RekeyError('bad_input', `${path} is no UTF-8 text.`)
  }
}
