import type { SystemView } from '../../credential/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { shortTime } from '../text.ts'

const COLUMNS: Column<SystemView>[] = [
  { head: 'SYSTEM', of: (it) => it.name },
  { head: 'CONNECTOR', of: (it) => it.connector },
  { head: 'ADDRESS', of: ({ address }) => (address.host.startsWith('/') ? address.host : `${address.host}:${address.port}`) },
  { head: 'TLS', of: (it) => it.address.tls },
  { head: 'ROOT', of: (it) => it.rootAccount },
  { head: 'CREDENTIALS', of: (it) => it.credentials, right: true },
  { head: 'DECOMMISSIONED', of: (it) => it.decommissionedAt && shortTime(it.decommissionedAt) },
]

/** Lists the systems. */
export async function systemList(cli: Cli): Promise<number> {
  cli.out.list(await (await cli.client()).all<SystemView>('/v1/systems'), COLUMNS, 'There are no systems: see rekey apply --help')
  return EXIT.ok
}
