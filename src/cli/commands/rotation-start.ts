import type { Skipped, Started } from '../../credential/index.ts'
import { printable, RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { type Begun, follow } from '../follow.ts'
import { stateText } from '../views.ts'

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
    only ? {} : { hint: 'See their names: rekey credential list' },
  )
}

/** Says what was started and, if wanted, waits for it. */
export async function announce(cli: Cli, started: Started, wait: boolean): Promise<number> {
  const { out } = cli
  for (const one of started.skipped) out.warn(skippedText(one))
  if (wait) {
    const { waitForBatch } = await import('../wait.ts')
    return follow(cli, begunOf(started), () => waitForBatch(cli, started))
  }
  for (const one of started.rotations) {
    if (out.json) out.object({ ...one, batch: started.batch })
    else out.line(`${one.rotation}  ${printable(one.credential)}`)
  }
  if (out.json) for (const one of started.skipped) out.object({ ...one, batch: null })
  else out.note(`${started.rotations.length} started. See: rekey rotation list --batch ${printable(started.batch)}`)
  return started.skipped.some(({ state }) => state === 'blocked') ? EXIT.blocked : EXIT.ok
}

function begunOf({ batch, rotations, skipped }: Started): Begun {
  const [only, more] = rotations
  const which = only && !more ? `The rotation ${only.rotation} of ${only.credential} was` : `${rotations.length} rotations were`
  return {
    what: printable(`${which} started (batch ${batch})`),
    see: `rekey rotation list --batch ${printable(batch)}`,
    ids: { batch, rotations, skipped },
  }
}

/** What was not started and why, with what to run. */
function skippedText({ credential, rotation, state, reason }: Skipped): string {
  const why = reason === null ? '' : ` (${reason})`
  const see = `See: rekey rotation show ${rotation}`
  if (state !== 'blocked') return `${credential} was left out: a rotation is under way, ${stateText(state)}${why}. ${see}`
  return `${credential} was left out: its rotation is blocked${why}. ${see}; then: rekey rotation retry ${rotation}`
}
