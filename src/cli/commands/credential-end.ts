import type { ClosureView } from '../../credential/index.ts'
import { printable, RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { waitForClosure } from '../closure.ts'
import { EXIT } from '../exit.ts'
import { follow } from '../follow.ts'
import { askExactly, canAsk } from '../prompt.ts'
import { showClosure } from './closure.ts'

/** Options of `rekey credential end`. */
export interface EndOptions {
  readonly reason: string
  readonly wait?: boolean
  readonly yes?: boolean
}

/** Ends one credential of an identity that was offboarded, also for others who use it. */
export async function credentialEnd(cli: Cli, credential: string, { reason, wait, yes }: EndOptions): Promise<number> {
  if (!yes && !canAsk()) {
    throw new RekeyError('bad_input', 'Nothing was done: there is no terminal to ask on.', {
      hint: `Say --yes to end it for all who use it: rekey credential show ${credential}`,
    })
  }
  if (
    !yes &&
    !(await askExactly(`Whoever uses ${credential} will be refused, and nothing gives it back. Type its name to go on`, credential))
  ) {
    cli.out.note('Nothing was done.')
    return EXIT.failed
  }
  const client = await cli.client()
  const closure = await client.post<ClosureView>(`/v1/credentials/${encodeURIComponent(credential)}/end`, { reason }, { startsWork: true })
  if (wait === true) {
    const what = printable(`The end of ${credential} (closure ${closure.closure}) has begun`)
    const begun = { what, see: `rekey closure show ${closure.closure}`, ids: { closure: closure.closure, credential } }
    return follow(cli, begun, () => waitForClosure(cli, closure.identityId, 'destroy'))
  }
  showClosure(cli, closure)
  return EXIT.ok
}
