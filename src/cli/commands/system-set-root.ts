import type { RootSet } from '../../credential/index.ts'
import { printable, RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { readSecretFile, readSource } from '../secrets.ts'

/** Options of `rekey system set-root`. */
export interface SetRootOptions {
  readonly secretFile?: string
  readonly prompt?: boolean
}

/** Tells Rekey a root secret that was changed on the system by hand. */
export async function systemSetRoot(cli: Cli, system: string, { secretFile, prompt }: SetRootOptions): Promise<number> {
  if ((secretFile === undefined) === (prompt !== true)) {
    throw new RekeyError('bad_input', 'Say one of --secret-file FILE and --prompt.')
  }
  const whose = `system ${system}`
  const secret =
    secretFile === undefined ? await readSource({ prompt: true }, whose, cli.out) : await readSecretFile(secretFile, whose, cli.out)
  const body = { secret: secret.reveal((bytes) => Buffer.from(bytes).toString('base64')) }
  const client = await cli.client()
  const set = await client.post<RootSet>(`/v1/systems/${encodeURIComponent(system)}/root`, body, { startsWork: true })
  if (cli.out.json) cli.out.object(set)
  else if (set.changed) cli.out.line(`Accepted: v${set.version} of the root secret is in use${endOf(set)}.`)
  else cli.out.line(`Accepted: v${set.version} of the root secret has this value already.`)
  return EXIT.ok
}

function endOf({ old, stillAt }: RootSet): string {
  if (old === null) return ''
  if (stillAt.length > 0) return `; the one before still logs in at ${printable(stillAt.join(', '))}: give these another value`
  return old === 'dead' ? '; the one before is proven dead' : '; whether the one before is dead cannot be proven'
}
