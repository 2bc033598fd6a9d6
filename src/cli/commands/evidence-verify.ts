import { open, readFile } from 'node:fs/promises'
import { BUNDLE_MAX_BYTES, LOGS, verifyBundle } from '../../evidence/index.ts'
import { RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { printable } from '../text.ts'

/** A key is a line of less than 200 characters; a whole bundle given as one is a mistake not worth reading. */
const KEY_FILE_BYTES = 4096

/** Checks a bundle with nothing but its bytes and the public key. Needs no server, no database, no configuration. */
export async function evidenceVerify(cli: Cli, path: string, { key: keyPath }: { readonly key: string }): Promise<number> {
  const key = Buffer.from(await readUpTo(keyPath, KEY_FILE_BYTES))
    .toString('utf8')
    .trim()
  const verdict = verifyBundle(await readUpTo(path, BUNDLE_MAX_BYTES + 1), key)
  const { out } = cli
  if (out.json) {
    out.object(verdict)
    return verdict.ok ? EXIT.ok : EXIT.failed
  }
  for (const { where, what } of verdict.problems) out.line(`${printable(where)}: ${printable(what)}`)
  for (const log of LOGS) {
    const { size, events, complete, root } = verdict.logs[log]
    out.line(`${log} log: ${events} of ${size} events proven${complete ? ', complete' : ''}, root ${root}`)
  }
  out.line(verdict.ok ? 'sound' : `not sound: ${verdict.problems.length} problems`)
  return verdict.ok ? EXIT.ok : EXIT.failed
}

async function readUpTo(path: string, most: number): Promise<Uint8Array> {
  try {
    if (path === '-') return await readFile('/dev/stdin')
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    if (size <= most) return await file.readFile()
    const { buffer, bytesRead } = await file.read(Buffer.alloc(most), 0, most, 0)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown'
    throw new RekeyError('bad_input', `${path} cannot be read (${code}).`)
  }
}
