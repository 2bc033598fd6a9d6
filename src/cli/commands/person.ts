import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'

interface SamePerson {
  readonly id: string
  readonly name: string
  readonly status: string
  readonly same: boolean
  readonly because: string
}

const COLUMNS: readonly Column<SamePerson>[] = [
  { head: 'IDENTITY', of: (it) => it.name },
  { head: 'STATUS', of: (it) => it.status },
  { head: 'SAME PERSON', of: (it) => (it.same ? 'yes' : 'no') },
  { head: 'BECAUSE', of: (it) => (it.because === 'said' ? 'somebody said so' : 'they share an address') },
]

const pathOf = (identity: string) => `/v1/identities/${encodeURIComponent(identity)}/same-person`

/** Lists the other identities of a person. */
export async function personList(cli: Cli, identity: string): Promise<number> {
  const { items } = await (await cli.client()).get<{ items: readonly SamePerson[] }>(pathOf(identity))
  cli.out.list([...items], COLUMNS, 'No other identity counts as this person.')
  return EXIT.ok
}

interface SayOptions extends CommonOptions {
  readonly reason: string
  readonly force?: boolean
}

/** Says that two identities are, or are not, of one person. */
export function personSay(same: boolean) {
  return async (cli: Cli, identity: string, other: string, { reason, force = false }: SayOptions): Promise<number> => {
    const input = { other, same, reason, force }
    const said = await (await cli.client()).post<{ changed: boolean }>(pathOf(identity), input, { startsWork: false })
    cli.out.fields(said, [['on record', said.changed ? 'now' : 'before already']])
    return EXIT.ok
  }
}
