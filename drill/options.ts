import { parseArgs } from 'node:util'
import type { SystemName } from './services.ts'

/** What the command line said. */
export interface Options {
  readonly keep: boolean
  readonly stop: boolean
  readonly plain: boolean
  readonly json: boolean
  readonly help: boolean
  readonly only: SystemName | null
  /** Folder for the evidence, as given. */
  readonly out: string
  /** Whether it was said, or is the usual one. */
  readonly isOutGiven: boolean
}

const SYSTEMS: Readonly<Record<string, SystemName>> = { postgres: 'orders-db', mariadb: 'catalog-db', redis: 'cache' }

/** Text of `--help`. */
export const USAGE = `Lets a store of secrets of a small real fleet leak, rotates what was in it, and proves every old value dead.

usage: npm run drill -- [options]

  --only SYSTEM  postgres, mariadb or redis alone
  --plain        lines instead of a display that is drawn anew
  --json         a summary as one line of JSON at the end
  --out FOLDER   where the evidence goes (rekey-drill)
  --keep         leave everything running
  --stop         stop what --keep left running, with --out the drill of that folder alone

Exit status: 0 everything is proven dead and the evidence is sound, 1 not, 2 usage, 130 interrupted`

/** Reads the arguments. Throws with a text for the user if they are wrong. */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      keep: { type: 'boolean', default: false },
      stop: { type: 'boolean', default: false },
      plain: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      only: { type: 'string' },
      out: { type: 'string' },
    },
  })
  const { only, out, ...rest } = values
  if (only !== undefined && SYSTEMS[only] === undefined) throw new Error(`--only is one of ${Object.keys(SYSTEMS).join(', ')}`)
  return { ...rest, out: out ?? 'rekey-drill', isOutGiven: out !== undefined, only: only === undefined ? null : (SYSTEMS[only] ?? null) }
}
