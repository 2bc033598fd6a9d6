import type { ServerAccepted } from '../../credential/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'

/** Options of `rekey system accept-server`. */
export interface AcceptServerOptions {
  readonly reason: string
  readonly apart?: boolean
}

/** Puts the server on record that answers for a system now. */
export async function systemAcceptServer(cli: Cli, system: string, { reason, apart }: AcceptServerOptions): Promise<number> {
  const client = await cli.client()
  const body = { reason, apart: apart === true }
  const done = await client.post<ServerAccepted>(`/v1/systems/${encodeURIComponent(system)}/server`, body, { startsWork: true })
  if (cli.out.json) cli.out.object(done)
  else if (!done.changed) cli.out.line(`Nothing changed: ${system} is on record as this server already.`)
  else {
    if (done.after === null) cli.out.line(`Accepted for ${system}: whichever server takes its root secret first. This one refuses it.`)
    else cli.out.line(`Accepted for ${system}: ${text(done.after)}.`)
    if (done.before !== null) cli.out.line(`It was: ${text(done.before)}.`)
    cli.out.note('Blocked rotations go on after: rekey rotation retry ID')
  }
  return EXIT.ok
}

function text(facts: ServerAccepted['before']): string {
  const told = Object.entries(facts ?? {}).map(([name, value]) => `${name} ${value}`)
  return told.length === 0 ? 'a server that says nothing of itself' : told.join(', ')
}
