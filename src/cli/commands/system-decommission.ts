import type { Decommissioned } from '../../credential/index.ts'
import { RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { askExactly, canAsk } from '../prompt.ts'

/** Options of `rekey system decommission`. */
export interface DecommissionOptions {
  readonly reason: string
  readonly unprovable?: boolean
  readonly yes?: boolean
}

/** Gives up a system, for good. */
export async function systemDecommission(cli: Cli, system: string, { reason, unprovable, yes }: DecommissionOptions): Promise<number> {
  if (!yes && !canAsk()) {
    throw new RekeyError('bad_input', 'Nothing was done: there is no terminal to ask on.', { hint: 'Say --yes to give the system up.' })
  }
  if (
    !yes &&
    !(await askExactly(`Rekey will destroy the root secret of ${system} and rotate nothing on it. Type its name to go on`, system))
  ) {
    cli.out.note('Nothing was done.')
    return EXIT.failed
  }
  const body = { reason, unprovable: unprovable === true }
  const client = await cli.client()
  const done = await client.post<Decommissioned>(`/v1/systems/${encodeURIComponent(system)}/decommission`, body, { startsWork: true })
  if (cli.out.json) cli.out.object(done)
  else {
    cli.out.line(`Decommissioned: ${system}. Its root login was ${done.root}.`)
    if (done.notProvable + done.rotations > 0) cli.out.line(`Not provable: versions ${done.notProvable}, rotations ${done.rotations}.`)
    cli.out.note('Take it out of the fleet file and run: rekey apply --prune')
  }
  return EXIT.ok
}
