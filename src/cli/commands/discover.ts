import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'

interface Account {
  readonly name: string
  readonly canLogin: boolean
}

interface Page {
  readonly items: readonly Account[]
  readonly next: string | null
  readonly warnings: readonly string[]
}

/** Lists accounts that exist on the system and are not in the inventory, and warns of what will keep rotations from working. */
export async function discover(cli: Cli, system: string): Promise<number> {
  const client = await cli.client()
  const accounts: Account[] = []
  for (let after: string | undefined; ; ) {
    const page = await client.get<Page>(`/v1/systems/${encodeURIComponent(system)}/accounts`, { after, limit: 500 })
    if (after === undefined) for (const warning of page.warnings) cli.out.warn(warning)
    accounts.push(...page.items)
    if (page.next === null) break
    after = page.next
  }
  const columns = [
    { head: 'ACCOUNT', of: ({ name }: Account) => name },
    { head: 'CAN LOG IN', of: ({ canLogin }: Account) => (canLogin ? 'yes' : 'no') },
  ]
  cli.out.list(accounts, columns, 'Every account of the system is in the inventory.')
  return EXIT.ok
}
