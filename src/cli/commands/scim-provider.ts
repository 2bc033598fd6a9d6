import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { withPlace } from '../place.ts'
import { shortTime, span } from '../text.ts'

const PATH = '/v1/scim/providers'

interface Provider {
  readonly name: string
  readonly tenancy: string
  readonly offboardAfterSeconds: number
  readonly users: number
  readonly groups: number
  readonly tokens: number
  readonly lastUsedAt: string | null
}

interface NewToken {
  readonly provider: string
  readonly token: string
  readonly oldTokenEndsAt: string | null
}

interface TokenOptions extends CommonOptions {
  readonly tokenFile?: string
}

interface AddOptions extends TokenOptions {
  readonly offboardAfter?: number
  readonly tenancy?: string
}

interface RotateOptions extends TokenOptions {
  readonly overlap?: number
}

const COLUMNS: readonly Column<Provider>[] = [
  { head: 'PROVIDER', of: (it) => it.name },
  { head: 'TENANCY', of: (it) => it.tenancy },
  { head: 'OFFBOARDS AFTER', of: (it) => span(it.offboardAfterSeconds * 1000) },
  { head: 'USERS', of: (it) => it.users, right: true },
  { head: 'GROUPS', of: (it) => it.groups, right: true },
  { head: 'TOKENS', of: (it) => it.tokens, right: true },
  { head: 'LAST USED', of: (it) => shortTime(it.lastUsedAt) },
]

/** Lists the identity providers. */
export async function scimProviderList(cli: Cli): Promise<number> {
  cli.out.list(await (await cli.client()).all<Provider>(PATH), COLUMNS, 'There are no providers: see rekey scim provider add --help')
  return EXIT.ok
}

/** Adds an identity provider and shows its token once. */
export async function scimProviderAdd(cli: Cli, name: string, options: AddOptions): Promise<number> {
  const { offboardAfter, tenancy } = options
  await withPlace(options.tokenFile, async (keep) => {
    const body = { name, tenancy, offboardAfterSeconds: offboardAfter }
    const made = await (await cli.client()).post<NewToken>(PATH, body, { startsWork: false })
    show(cli, made, await keep(made.token))
  })
  return EXIT.ok
}

/** Makes a new token for an identity provider and shows it once. */
export async function scimProviderRotate(cli: Cli, name: string, options: RotateOptions): Promise<number> {
  const path = `${PATH}/${encodeURIComponent(name)}/rotate-token`
  await withPlace(options.tokenFile, async (keep) => {
    const made = await (await cli.client()).post<NewToken>(path, { overlapSeconds: options.overlap }, { startsWork: false })
    show(cli, made, await keep(made.token))
  })
  return EXIT.ok
}

/** Revokes every token of an identity provider. */
export async function scimProviderRevoke(cli: Cli, name: string): Promise<number> {
  const path = `${PATH}/${encodeURIComponent(name)}/revoke`
  const done = await (await cli.client()).post<{ provider: string; revoked: number }>(path, undefined, { startsWork: true })
  cli.out.fields(done, [
    ['provider', done.provider],
    ['tokens revoked', done.revoked],
  ])
  return EXIT.ok
}

function show(cli: Cli, { provider, oldTokenEndsAt }: NewToken, token: string | null): void {
  const shown = { provider, oldTokenEndsAt, ...(token === null ? {} : { token }) }
  cli.out.fields(shown, [
    ['provider', provider],
    ['token', token],
    ['old token ends', oldTokenEndsAt === null ? null : shortTime(oldTokenEndsAt)],
  ])
}
