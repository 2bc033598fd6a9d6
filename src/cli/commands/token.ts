import { RekeyError } from '../../kernel/index.ts'
import type { Cli, CommonOptions } from '../cli.ts'
import { type Client, ifAllowed } from '../client.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { withPlace } from '../place.ts'
import { askExactly, canAsk } from '../prompt.ts'
import { shortTime } from '../text.ts'

const PATH = '/v1/tokens'

interface Token {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly identity: { readonly id: string; readonly name: string | null } | null
  readonly actsFor: { readonly id: string; readonly name: string | null } | null
  readonly makers: readonly { readonly id: string; readonly name: string | null }[] | null
  readonly roles: readonly string[]
  readonly followsIdentity: boolean
  readonly scope: readonly string[] | null
  readonly environments: readonly string[] | null
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
}

interface NewToken {
  readonly id: string
  readonly name: string
  readonly token: string
  readonly expiresAt: string | null
  readonly oldEndsAt: string | null
}

interface CreateOptions extends CommonOptions {
  readonly role?: readonly string[]
  readonly scope?: readonly string[]
  readonly environment?: readonly string[]
  readonly expires?: number
  readonly identity?: string
  readonly actsFor?: string
  readonly force?: boolean
  readonly tokenFile?: string
  readonly reason: string
}

interface RotateOptions extends CommonOptions {
  readonly overlap?: number
  readonly expires?: number
  readonly tokenFile?: string
}

const COLUMNS: readonly Column<Token>[] = [
  { head: 'TOKEN', of: (it) => it.name },
  { head: 'STATE', of: (it) => it.state },
  { head: 'IDENTITY', of: (it) => it.identity && (it.identity.name ?? it.identity.id) },
  { head: 'FOR', of: (it) => it.actsFor && (it.actsFor.name ?? it.actsFor.id) },
  { head: 'MADE BY', of: (it) => (it.makers === null ? 'nobody on record' : it.makers.map(({ id, name }) => name ?? id).join(' ')) },
  { head: 'ROLES', of: (it) => (it.followsIdentity ? 'of its identity' : it.roles.join(' ')) },
  { head: 'SCOPE', of: (it) => it.scope?.join(' ') ?? null },
  { head: 'ENVIRONMENTS', of: (it) => it.environments?.join(' ') ?? null },
  { head: 'EXPIRES', of: (it) => it.expiresAt && shortTime(it.expiresAt) },
  { head: 'LAST USED', of: (it) => it.lastUsedAt && shortTime(it.lastUsedAt) },
  { head: 'ID', of: (it) => it.id },
]

/** Makes a token and shows it once. */
export async function tokenCreate(cli: Cli, name: string, options: CreateOptions): Promise<number> {
  const { role: roles = [], environment: environments, expires: expiresSeconds, scope, identity, actsFor, reason, force } = options
  const body = { name, roles, scope, environments, expiresSeconds, identity, actsFor, reason, force }
  await withPlace(options.tokenFile, async (keep) => {
    const made = await (await cli.client()).post<NewToken>(PATH, body, { startsWork: false })
    show(cli, made, await keep(made.token))
  })
  return EXIT.ok
}

/** Lists tokens. */
export async function tokenList(cli: Cli, { all, identity: key }: CommonOptions & { all?: boolean; identity?: string }): Promise<number> {
  const client = await cli.client()
  const identity = key && (await client.get<{ id: string }>(`/v1/identities/${encodeURIComponent(key)}`)).id
  const found = await client.all<Token>(PATH, { ended: all === true ? 'true' : undefined, identity })
  cli.out.list(found, COLUMNS, 'There are no tokens.')
  return EXIT.ok
}

interface RevokeOptions extends CommonOptions {
  readonly reason: string
  readonly force?: boolean
  readonly yes?: boolean
}

/** Revokes tokens at once. Asks before one that may do everything: a slip of the name must not take the way in. */
export async function tokenRevoke(cli: Cli, token: string, { reason, force, yes }: RevokeOptions): Promise<number> {
  const client = await cli.client()
  const sure = yes === true || force === true
  if (!sure && (await isFull(client, token)) && !(await agreed(cli, token))) return EXIT.failed
  const path = `${PATH}/${encodeURIComponent(token)}/revoke`
  const done = await client.post<{ revoked: readonly string[] }>(path, { reason, force }, { startsWork: true })
  cli.out.fields(done, [['revoked', done.revoked.join(' ')]])
  return EXIT.ok
}

/** Whether one of these tokens is a full administrator's. Who may not list tokens is not asked: the server decides alone then. */
async function isFull(client: Client, token: string): Promise<boolean> {
  const found = (await ifAllowed(client.all<Token>(PATH, {}))) ?? []
  return found.some(({ id, name, roles }) => (id === token || name === token) && roles.includes('bootstrap-admin'))
}

async function agreed(cli: Cli, token: string): Promise<boolean> {
  if (!canAsk()) {
    throw new RekeyError('bad_input', `Nothing was done: ${token} is a full administrator's token, and there is no terminal to ask on.`, {
      hint: 'Say --yes to revoke it.',
    })
  }
  if (await askExactly(`${token} is a full administrator's token, and nothing gives it back. Type its name to go on`, token)) return true
  cli.out.note('Nothing was done.')
  return false
}

/** Makes a new text for a token and shows it once. */
export async function tokenRotate(cli: Cli, token: string, options: RotateOptions): Promise<number> {
  const body = { overlapSeconds: options.overlap, expiresSeconds: options.expires }
  await withPlace(options.tokenFile, async (keep) => {
    const path = `${PATH}/${encodeURIComponent(token)}/rotate`
    const made = await (await cli.client()).post<NewToken>(path, body, { startsWork: false })
    show(cli, made, await keep(made.token))
  })
  return EXIT.ok
}

function show(cli: Cli, { id, name, expiresAt, oldEndsAt }: NewToken, token: string | null): void {
  cli.out.fields({ id, name, expiresAt, oldEndsAt, ...(token === null ? {} : { token }) }, [
    ['id', id],
    ['name', name],
    ['token', token],
    ['expires', expiresAt && shortTime(expiresAt)],
    ['old text ends', oldEndsAt && shortTime(oldEndsAt)],
  ])
}
