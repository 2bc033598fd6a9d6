import type { CredentialView, VersionView } from '../../credential/index.ts'
import { counted } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { type Column, tableLines } from '../output.ts'
import { shortTime, span } from '../text.ts'
import { stateText } from '../views.ts'

interface Consumer {
  readonly name: string
  readonly activation: string
  readonly identity?: string | null
  readonly identityBy?: 'file' | 'name' | null
  readonly file?: { readonly path: string; readonly key: string | null } | null
}

interface Shown {
  readonly credential: CredentialView
  readonly versions: readonly VersionView[]
  readonly consumers: readonly Consumer[]
}

const VERSIONS: Column<VersionView>[] = [
  { head: 'VERSION', of: (it) => `v${it.number}` },
  { head: 'ACCOUNT', of: (it) => it.account },
  { head: 'STATE', of: (it) => it.state },
  { head: 'VALUE', of: (it) => (it.valueHeld ? 'held' : it.shreddedAt ? 'shredded' : 'not held') },
  { head: 'INSTALLED', of: (it) => shortTime(it.installedAt) },
  { head: 'PROVED DEAD', of: (it) => shortTime(it.provedDeadAt) },
  { head: 'LAST PROBE', of: lastSeen },
]

/** An answer from before a change says nothing of now. */
function lastSeen({ lastProbe, unknownSince }: VersionView): string | null {
  const seen = lastProbe && `${lastProbe.outcome} ${shortTime(lastProbe.at)}`
  return unknownSince === null ? seen : `unknown since ${shortTime(unknownSince)}${seen === null ? '' : ` (${seen})`}`
}

const CONSUMERS: Column<Consumer>[] = [
  { head: 'CONSUMER', of: (it) => it.name },
  { head: 'WHOSE', of: ({ identity, identityBy }) => (identityBy === 'name' ? `${identity}, by its name` : (identity ?? null)) },
  { head: 'ACTIVATION', of: (it) => it.activation },
  { head: 'FILE', of: ({ file }) => (file ? `${file.path}${file.key === null ? '' : ` ${file.key}`}` : null) },
]

/** Shows one credential, every version of it and who uses it. Never a value. */
export async function credentialShow(cli: Cli, name: string): Promise<number> {
  const shown = await (await cli.client()).get<Shown>(`/v1/credentials/${encodeURIComponent(name)}`)
  const { credential, versions, consumers } = shown
  const every = credential.everySeconds === null ? 'only when asked' : `every ${span(credential.everySeconds * 1000)}`
  cli.out.fields(shown, [
    ['credential', credential.name],
    ['system', credential.system],
    ['identity', credential.identity],
    ['owner', credential.owner],
    ['purpose', credential.purpose],
    ['accounts', credential.accounts.join(', ')],
    ['strategy', credential.strategy],
    ['rotated', `${every}, grace ${span(credential.graceSeconds * 1000)}`],
    ['next', credential.nextRotationAt && shortTime(credential.nextRotationAt)],
    ['could log in', `${credential.alive} of ${counted(versions.length, 'version')}`],
    ['rotation', credential.rotation && `${stateText(credential.rotation.state)} ${credential.rotation.id}`],
    ['reason', credential.rotation?.reason],
  ])
  if (cli.out.json) return EXIT.ok
  const bold = cli.out.colors('stdout')
  const tables = [
    versions.length > 0 && tableLines(versions, VERSIONS, bold),
    consumers.length > 0 && tableLines(consumers, CONSUMERS, bold),
  ]
  for (const table of tables) if (table) for (const line of ['', ...table]) cli.out.line(line)
  return EXIT.ok
}
