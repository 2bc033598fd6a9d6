import { BUNDLE_MAX_BYTES, LOGS, verifyBundle } from '../../evidence/index.ts'
import { printable } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { readInput } from '../files.ts'

/** A key is a line of less than 200 characters; a whole bundle given as one is a mistake not worth reading. */
const KEY_FILE_BYTES = 4096

/** Checks a bundle with nothing but its bytes and the public key. Needs no server, no database, no configuration. */
export async function evidenceVerify(cli: Cli, path: string, { key: keyPath }: { readonly key: string }): Promise<number> {
  const key = Buffer.from((await readInput(keyPath, KEY_FILE_BYTES)).bytes)
  const { bytes } = await readInput(path, BUNDLE_MAX_BYTES)
  const verdict = verifyBundle(bytes, key.toString('utf8').trim())
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
  const whole = LOGS.every((log) => verdict.logs[log].complete)
  const sound = whole ? 'sound' : 'sound, but chosen from more: what is not in it cannot be known from it'
  out.line(verdict.ok ? sound : `not sound: ${verdict.problems.length} problems`)
  return verdict.ok ? EXIT.ok : EXIT.failed
}
