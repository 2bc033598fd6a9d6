import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { readSecretFile } from '../secrets.ts'
import { shortTime } from '../text.ts'

const PROVIDERS = '/v1/login/providers'

type Worth = Readonly<Record<string, number>>

interface Provider {
  readonly name: string
  readonly issuer: string
  readonly clientId: string
  readonly redirectPath: string
  readonly auth: string
  readonly scopes: readonly string[]
  readonly acr: Worth
  readonly amr: Worth
  readonly aal: number
  readonly maxAgeSeconds: number
  readonly linkByEmail: boolean
  readonly createdAt: string
}

interface AddOptions extends CommonOptions {
  readonly issuer: string
  readonly clientId: string
  readonly auth?: string
  readonly secretFile?: string
  readonly scope?: readonly string[]
  readonly acr?: Worth
  readonly amr?: Worth
  readonly aal?: number
  readonly maxAge?: number
  readonly linkByEmail?: boolean
}

const COLUMNS: readonly Column<Provider>[] = [
  { head: 'PROVIDER', of: (it) => it.name },
  { head: 'ISSUER', of: (it) => it.issuer },
  { head: 'CLIENT', of: (it) => it.clientId },
  { head: 'AUTH', of: (it) => it.auth },
  { head: 'WORTH', of: worthOf },
  { head: 'LINKS', of: (it) => (it.linkByEmail ? 'by email' : 'by hand') },
]

function worthOf({ acr, amr, aal }: Provider): string {
  const named = [...Object.entries(acr), ...Object.entries(amr)].map(([value, level]) => `${value}=AAL${level}`)
  return [...named, `else AAL${aal}`].join(' ')
}

/** Lists the providers at which people log in. */
export async function loginProviderList(cli: Cli): Promise<number> {
  const none = 'There are no login providers: see rekey login provider add --help'
  cli.out.list(await (await cli.client()).all<Provider>(PROVIDERS), COLUMNS, none)
  return EXIT.ok
}

/** Adds a provider. Its secret is read from a file and sent to the server, which seals it. */
export async function loginProviderAdd(cli: Cli, name: string, options: AddOptions): Promise<number> {
  const { issuer, clientId, secretFile, scope: scopes, acr, amr, aal, maxAge: maxAgeSeconds, linkByEmail } = options
  const secret = secretFile === undefined ? undefined : await readSecretFile(secretFile, `login provider ${name}`, cli.out)
  const auth = options.auth ?? (secret === undefined ? 'none' : 'client_secret_basic')
  const body = {
    name,
    issuer,
    clientId,
    auth,
    secret: secret?.reveal((bytes) => Buffer.from(bytes).toString('base64')),
    scopes,
    acr,
    amr,
    aal,
    maxAgeSeconds,
    linkByEmail,
  }
  const made = await (await cli.client()).post<Provider>(PROVIDERS, body, { startsWork: false })
  cli.out.fields(made, [
    ['provider', made.name],
    ['issuer', made.issuer],
    ['client', `${made.clientId}, ${made.auth}`],
    ['redirect address', `the server's public address and ${made.redirectPath}`],
    ['a login is worth', worthOf(made)],
    ['links people', made.linkByEmail ? 'by hand, or once by a verified address' : 'by hand'],
  ])
  return EXIT.ok
}

/** Takes a provider away. */
export async function loginProviderRemove(cli: Cli, name: string, { reason }: { readonly reason: string }): Promise<number> {
  const path = `${PROVIDERS}/${encodeURIComponent(name)}/remove`
  const done = await (await cli.client()).post<{ provider: string; sessionsEnded: number; passkeysLeft: number }>(
    path,
    { reason },
    { startsWork: true },
  )
  cli.out.fields(done, [
    ['removed', done.provider],
    ['sessions ended', done.sessionsEnded],
    ['passkeys left', done.passkeysLeft === 0 ? 0 : `${done.passkeysLeft} enrolled in logins there: see rekey passkey list`],
  ])
  return EXIT.ok
}

/** Answers for a login provider and its links. */
export async function loginProviderConfirm(cli: Cli, name: string, { reason }: { readonly reason: string }): Promise<number> {
  const path = `${PROVIDERS}/${encodeURIComponent(name)}/confirm`
  const done = await (await cli.client()).post<{ name: string }>(path, { reason }, { startsWork: true })
  cli.out.fields(done, [['confirmed', done.name]])
  return EXIT.ok
}

interface LinkOptions extends CommonOptions {
  readonly provider: string
  readonly subject: string
  readonly reason: string
  readonly removePasskeys?: boolean
  readonly keepPasskeys?: boolean
}

/** Both at once is refused by the command line itself. */
function passkeysOf({ removePasskeys, keepPasskeys }: Pick<LinkOptions, 'removePasskeys' | 'keepPasskeys'>): 'remove' | 'keep' | undefined {
  if (removePasskeys) return 'remove'
  return keepPasskeys ? 'keep' : undefined
}

interface Unlinked {
  readonly identity: string
  readonly provider: string
  readonly sessionsEnded: number
  readonly passkeysRemoved: number
  readonly passkeysLeft: readonly { readonly passkey: string; readonly name: string; readonly enrolledAt: string }[]
  readonly tokensLeft: number
}

/** Says which subject of a provider a person is. */
export async function loginLink(cli: Cli, identity: string, { provider, subject, reason, ...more }: LinkOptions): Promise<number> {
  const body = { identity, provider, subject, reason, passkeys: passkeysOf(more) }
  const done = await (await cli.client()).post<{ identity: string; provider: string }>('/v1/login/links', body, { startsWork: true })
  cli.out.fields(done, [
    ['person', done.identity],
    ['logs in at', done.provider],
  ])
  return EXIT.ok
}

/** Takes a link back. */
export async function loginUnlink(
  cli: Cli,
  identity: string,
  { provider, reason, ...more }: Omit<LinkOptions, 'subject'>,
): Promise<number> {
  const body = { identity, provider, reason, passkeys: passkeysOf(more) }
  const done = await (await cli.client()).post<Unlinked>('/v1/login/links/remove', body, { startsWork: true })
  cli.out.fields(done, [
    ['person', done.identity],
    ['logs in no more at', done.provider],
    ['sessions ended', done.sessionsEnded],
    ['passkeys removed', done.passkeysRemoved],
    ...done.passkeysLeft.map(
      (it) => ['logs in still by', `${it.name}, ${shortTime(it.enrolledAt)}: rekey passkey remove ${it.passkey}`] as const,
    ),
    ['tokens of theirs', done.tokensLeft === 0 ? 0 : `${done.tokensLeft}: see rekey token list`],
  ])
  return EXIT.ok
}

interface Code {
  readonly identity: string
  readonly name: string
  readonly code: string
  readonly url: string | null
  readonly expiresAt: string
}

/** Makes a local administrator, and shows the code by which they enrol a passkey once. */
export async function loginBootstrap(cli: Cli, name: string): Promise<number> {
  const made = await (await cli.client()).post<Code>('/v1/login/bootstrap', { name }, { startsWork: false })
  cli.out.fields(made, [
    ['administrator', made.name],
    ['code', made.code],
    ['open', made.url],
    ['good until', shortTime(made.expiresAt)],
  ])
  return EXIT.ok
}
