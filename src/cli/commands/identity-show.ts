import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { type Column, tableLines } from '../output.ts'
import { shortTime } from '../text.ts'
import { type Identity, ownerText } from './identity-list.ts'

interface Entitlement {
  readonly system: string
  readonly account: string
  readonly role: string
}

/** One identity as the server shows it. */
export interface IdentityFull extends Identity {
  readonly recoveryClass: string
  readonly recoveryClassReason: string | null
  readonly tenancy: string
  readonly source: string
  readonly managerName: string | null
  readonly ial: { readonly level: number; readonly source: string; readonly at: string } | null
  readonly leftAt: string | null
  readonly createdAt: string
  readonly changedAt: string
  readonly labels: Readonly<Record<string, string>>
  readonly externalIds: readonly { readonly source: string; readonly id: string }[]
  readonly entitlements: readonly Entitlement[]
  readonly teams: readonly { readonly id: string; readonly name: string }[]
}

const ENTITLEMENTS: Column<Entitlement>[] = [
  { head: 'SYSTEM', of: (it) => it.system },
  { head: 'ACCOUNT', of: (it) => it.account },
  { head: 'ROLE', of: (it) => it.role },
]

/** Shows one identity, by id or name. */
export async function identityShow(cli: Cli, identity: string): Promise<number> {
  showIdentity(cli, await (await cli.client()).get<IdentityFull>(`/v1/identities/${encodeURIComponent(identity)}`))
  return EXIT.ok
}

/** Prints an identity. */
export function showIdentity(cli: Cli, it: IdentityFull): void {
  const because = it.recoveryClassReason === null ? '' : `, because: ${it.recoveryClassReason}`
  cli.out.fields(it, [
    ['identity', it.name],
    ['id', it.id],
    ['kind', it.kind],
    ['status', it.status],
    ['owner', ownerText(it)],
    ['purpose', it.purpose],
    ['environment', it.environment],
    ['tenancy', it.tenancy],
    ['source', it.source],
    ['recovered as', `${it.recoveryClass.replaceAll('_', ' ')}${because}`],
    ['manager', it.managerName],
    ['assurance', it.ial && `IAL${it.ial.level}, by ${it.ial.source}, ${shortTime(it.ial.at)}`],
    ['teams', it.teams.map(({ name }) => name).join(', ')],
    [
      'labels',
      Object.entries(it.labels)
        .map((label) => label.join('='))
        .join(', '),
    ],
    ['known as', it.externalIds.map(({ source, id }) => `${id} at ${source}`).join(', ')],
    ['joined', shortTime(it.createdAt)],
    ['changed', shortTime(it.changedAt)],
    ['left', it.leftAt && shortTime(it.leftAt)],
  ])
  if (cli.out.json || it.entitlements.length === 0) return
  for (const line of ['', ...tableLines(it.entitlements, ENTITLEMENTS, cli.out.colors('stdout'))]) cli.out.line(line)
}
