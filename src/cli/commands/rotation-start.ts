import type { Started } from '../../credential/index.ts'
import { printable, RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'

/** Options of `rekey rotation start`. */
export interface StartOptions {
  readonly system?: string
  readonly all?: boolean
  readonly wait?: boolean
  readonly reason?: string
  readonly urgent?: boolean
}

/** Starts rotations: of the named credentials, of all on a system, or of all. */
export async function rotationStart(cli: Cli, names: readonly string[], options: StartOptions): Promise<number> {
  const selection = selectionOf(names, options)
  const client = await cli.client()
  const body = { ...selection, reason: options.reason, urgent: options.urgent }
  return announce(cli, await client.post<Started>('/v1/rotations', body, { startsWork: true }), options.wait === true)
}

/** Exactly one way of saying what; nothing said must not mean everything. */
function selectionOf(names: readonly string[], { system, all }: StartOptions): object {
  const said = [names.length > 0 && { names }, system !== undefined && { system }, all === true && { all }].filter((one) => one !== false)
  const [only, more] = said
  if (only && !more) return only
  throw new RekeyError(
    'bad_input',
    only ? 'Say only one of names, --system and --all.' : 'Say which credentials: by name, --system or --all.',
  )
}

/** Says what was started and, if wanted, waits for it. */
export async function announce(cli: Cli, started: Started, wait: boolean): Promise<number> {
  const { out } = cli
  if (wait) {
    const { waitForBatch } = await import('../wait.ts')
    return waitForBatch(cli, started)
  }
  for (const one of started.rotations) {
    if (out.json) out.object({ ...one, batch: started.batch })
    else out.line(`${one.rotation}  ${printable(one.credential)}`)
  }
  if (!out.json) out.note(`${started.rotations.length} started. See: rekey rotation list --batch ${printable(started.batch)}`)
  return EXIT.ok
}
