import { open, rm } from 'node:fs/promises'
import { RekeyError } from '../../kernel/index.ts'
import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { codeOf } from '../files.ts'
import type { Column } from '../output.ts'
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
    await keep(cli, await (await cli.client()).post<NewToken>(PATH, body, { startsWork: false }))
  })
  return EXIT.ok
}

/** Makes a new token for an identity provider and shows it once. */
export async function scimProviderRotate(cli: Cli, name: string, options: RotateOptions): Promise<number> {
  const path = `${PATH}/${encodeURIComponent(name)}/rotate-token`
  await withPlace(options.tokenFile, async (keep) => {
    await keep(cli, await (await cli.client()).post<NewToken>(path, { overlapSeconds: options.overlap }, { startsWork: false }))
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

type Keep = (cli: Cli, made: NewToken) => Promise<void>

/**
 * The file is opened before the token is made: a place that cannot be written must not cost a token. It must not be there yet, so that
 * nothing is written through a link or over another secret; one that stays empty is removed.
 */
async function withPlace(path: string | undefined, work: (keep: Keep) => Promise<void>): Promise<void> {
  if (path === undefined) return work(async (cli, made) => show(cli, made, made.token))
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    throw new RekeyError('bad_input', `The token file cannot be made: ${path} (${codeOf(error)}).`, {
      hint: 'Name a file that is not there.',
    })
  })
  try {
    await work(async (cli, made) => {
      await file.writeFile(`${made.token}\n`)
      await file.sync()
      show(cli, made, null)
    })
  } catch (error) {
    const { size } = await file.stat()
    if (size === 0) await rm(path, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

function show(cli: Cli, { provider, oldTokenEndsAt }: NewToken, token: string | null): void {
  const shown = { provider, oldTokenEndsAt, ...(token === null ? {} : { token }) }
  cli.out.fields(shown, [
    ['provider', provider],
    ['token', token],
    ['old token ends', oldTokenEndsAt === null ? null : shortTime(oldTokenEndsAt)],
  ])
}
