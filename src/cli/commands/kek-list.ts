import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'

interface Kek {
  readonly id: string
  readonly kind: string
  readonly state: string
}

const COLUMNS = [
  { head: 'KEY', of: (it: Kek) => it.id },
  { head: 'KIND', of: (it: Kek) => it.kind },
  { head: 'STATE', of: (it: Kek) => it.state },
]

/** Lists the key-encryption keys. */
export async function kekList(cli: Cli): Promise<number> {
  cli.out.list(await (await cli.client()).all<Kek>('/v1/keks'), COLUMNS, 'There are no key-encryption keys.')
  return EXIT.ok
}
