import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'

interface Account {
  readonly name: string
  readonly canLogin: boolean
}

/** Lists accounts that exist on the system and are not in the inventory. */
export async function discover(cli: Cli, system: string): Promise<number> {
  const accounts = await (await cli.client()).all<Account>(`/v1/systems/${encodeURIComponent(system)}/accounts`)
  const columns = [
    { head: 'ACCOUNT', of: ({ name }: Account) => name },
    { head: 'CAN LOG IN', of: ({ canLogin }: Account) => (canLogin ? 'yes' : 'no') },
  ]
  cli.out.list(accounts, columns, 'Every account of the system is in the inventory.')
  return EXIT.ok
}
