import { BUNDLE_MAX_BYTES, type BundleVerdict, LOGS, verifyBundle } from '../../evidence/index.ts'
import { counted, printable } from '../../kernel/index.ts'
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
  for (const line of verdict.ok ? soundLines(verdict) : problemLines(verdict)) out.line(line)
  return verdict.ok ? EXIT.ok : EXIT.failed
}

function soundLines({ logs, bundle }: BundleVerdict): string[] {
  const whole = LOGS.every((log) => logs[log].complete)
  return [
    ...(bundle === null ? [] : [`exported ${bundle.exportedAt}, ${askedText(bundle.filter)}; of anything later it tells nothing`]),
    ...LOGS.map((log) => {
      const { size, events, complete, root, pending } = logs[log]
      const newer = pending === 0 ? '' : `, ${counted(pending, 'newer event')} not yet in it`
      return size === 0
        ? `${log} log: empty when the bundle was made${newer}`
        : `${log} log: ${events} of ${counted(size, 'event')} proven${complete ? ', complete' : ''}, root ${root}${newer}`
    }),
    whole ? 'sound' : 'sound, but chosen from more: what is not in it cannot be known from it',
  ]
}

function askedText({ credential, since }: NonNullable<BundleVerdict['bundle']>['filter']): string {
  if (credential === null && since === null) return 'all events'
  const words = [...(credential === null ? [] : [`of ${credential}`]), ...(since === null ? [] : [`since ${since}`])]
  return printable(`only events ${words.join(' ')}`)
}

/** Only what is wrong: that some of it could be proven is nothing to rely on, and would read like half a yes. */
function problemLines({ problems }: BundleVerdict): string[] {
  return [
    ...problems.map(({ where, what }) => `${printable(where)}: ${printable(what)}`),
    `not sound: ${counted(problems.length, 'problem')}. Do not rely on this file.`,
  ]
}
