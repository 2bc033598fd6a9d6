import { printable } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'

/** Prints the public key with which evidence is verified. */
export async function evidenceKey(cli: Cli): Promise<number> {
  const found = await (await cli.client()).get<{ readonly key: string }>('/v1/evidence/key')
  if (cli.out.json) cli.out.object(found)
  else cli.out.line(printable(found.key.trim()))
  return EXIT.ok
}
