import type { Cli } from '../cli.ts'
import { ifAllowed } from '../client.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'

/** What the server's list says of an identity, as far as it is shown. */
export interface Identity {
  readonly id: string
  readonly name: string
  readonly kind: string
  readonly status: string
  readonly owner: string
  readonly ownerState: string
  readonly purpose: string
  readonly environment: string
}

/** Options of `rekey identity list`: filters, all of which must hold. */
export interface IdentityListOptions {
  readonly kind?: string
  readonly status?: string
  readonly owner?: string
  readonly team?: string
  readonly environment?: string
  readonly source?: string
  readonly label?: string
  readonly prefix?: string
  readonly limit?: number
}

const COLUMNS: Column<Identity>[] = [
  { head: 'IDENTITY', of: (it) => it.name },
  { head: 'KIND', of: (it) => it.kind },
  { head: 'STATUS', of: (it) => it.status },
  { head: 'OWNER', of: ownerText },
  { head: 'ENVIRONMENT', of: (it) => it.environment },
  { head: 'PURPOSE', of: (it) => it.purpose },
]

const TROUBLE: Readonly<Record<string, string>> = {
  unresolved: 'nobody known',
  team_without_people: 'nobody in it',
  person_suspended: 'suspended',
}

/** The owner, and why it does not answer if it does not. */
export function ownerText({ owner, ownerState }: Pick<Identity, 'owner' | 'ownerState'>): string {
  const trouble = TROUBLE[ownerState]
  return trouble === undefined ? owner : `${owner} (${trouble})`
}

/** Lists the identities. */
export async function identityList(cli: Cli, options: IdentityListOptions): Promise<number> {
  const { kind, status, owner, team, environment, source, label, prefix, limit } = options
  const client = await cli.client()
  const query = { kind, status, owner, team, environment, source, label, prefix }
  const found = await client.all<Identity>('/v1/identities', query, limit)
  // A team that is not there has no members; whoever mistyped it should hear so.
  if (team !== undefined && found.length === 0) await ifAllowed(client.get(`/v1/teams/${encodeURIComponent(team)}`))
  cli.out.list(found, COLUMNS, 'There are no such identities.')
  return EXIT.ok
}
