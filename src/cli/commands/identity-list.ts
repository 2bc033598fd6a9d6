import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'

interface Identity {
  readonly name: string
  readonly kind: string
  readonly owner: string
  readonly purpose: string
  readonly environment: string
}

const COLUMNS: Column<Identity>[] = [
  { head: 'IDENTITY', of: (it) => it.name },
  { head: 'KIND', of: (it) => it.kind },
  { head: 'OWNER', of: (it) => it.owner },
  { head: 'ENVIRONMENT', of: (it) => it.environment },
  { head: 'PURPOSE', of: (it) => it.purpose },
]

/** Lists the identities. */
export async function identityList(cli: Cli): Promise<number> {
  cli.out.list(await (await cli.client()).all<Identity>('/v1/identities'), COLUMNS, 'There are no identities: see rekey apply --help')
  return EXIT.ok
}
