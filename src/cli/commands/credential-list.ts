import type { CredentialView } from '../../credential/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { shortTime } from '../text.ts'
import { stateText } from '../views.ts'

const COLUMNS: Column<CredentialView>[] = [
  { head: 'CREDENTIAL', of: (it) => it.name },
  { head: 'SYSTEM', of: (it) => it.system },
  { head: 'OWNER', of: (it) => it.owner },
  { head: 'STRATEGY', of: (it) => it.strategy },
  { head: 'VERSION', of: (it) => (it.currentVersion === null ? null : `v${it.currentVersion}${it.currentKnown ? '' : ' (unknown)'}`) },
  { head: 'ALIVE', of: (it) => it.alive, right: true },
  { head: 'NEXT', of: (it) => shortTime(it.nextRotationAt) },
  { head: 'ROTATION', of: (it) => (it.rotation === null ? null : stateText(it.rotation.state)) },
]

/** Lists the credentials. */
export async function credentialList(cli: Cli, { system }: { readonly system?: string }): Promise<number> {
  const found = await (await cli.client()).all<CredentialView>('/v1/credentials', { system })
  cli.out.list(found, COLUMNS, 'There are no such credentials: see rekey apply --help')
  return EXIT.ok
}
