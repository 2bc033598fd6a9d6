import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { shortTime } from '../text.ts'

interface Mover {
  readonly id: string
  readonly name: string | null
  readonly identity: string
  readonly system: string
  readonly account: string
  readonly role: string
  readonly at: string
  readonly credentials: readonly { readonly name: string; readonly advice: string }[]
}

const named = (it: Mover, advice: string) =>
  it.credentials
    .filter((credential) => credential.advice === advice)
    .map(({ name }) => name)
    .join(', ') || null

const COLUMNS: readonly Column<Mover>[] = [
  { head: 'MOVER', of: (it) => it.name ?? it.identity },
  { head: 'MAY NO LONGER', of: (it) => `${it.role} as ${it.account}@${it.system}` },
  { head: 'SINCE', of: (it) => shortTime(it.at) },
  { head: 'NARROW', of: (it) => named(it, 'narrow') },
  { head: 'ROTATE', of: (it) => named(it, 'rotate') },
  { head: 'ID', of: (it) => it.id },
]

/** Lists entitlements that went, with the credentials to narrow or rotate. */
export async function moverList(cli: Cli): Promise<number> {
  cli.out.list(await (await cli.client()).all<Mover>('/v1/movers'), COLUMNS, 'No mover left anything to do.')
  return EXIT.ok
}

/** Takes one off the list. */
export async function moverSettle(cli: Cli, id: string, { reason }: { readonly reason: string }): Promise<number> {
  const path = `/v1/movers/${encodeURIComponent(id)}/settle`
  const done = await (await cli.client()).post<{ id: string }>(path, { reason }, { startsWork: false })
  cli.out.fields(done, [['settled', done.id]])
  return EXIT.ok
}
