import { RekeyError } from '../../kernel/index.ts'
import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'
import type { Column } from '../output.ts'
import { shortTime } from '../text.ts'

interface Role {
  readonly role: string
  readonly families: readonly string[]
  readonly actions: readonly string[]
  readonly forced: string | null
}

interface Binding {
  readonly id: string
  readonly role: string
  readonly kind: string
  readonly subject: string
  readonly name: string | null
  readonly createdAt: string
  readonly reason: string
}

const ROLES: readonly Column<Role>[] = [
  { head: 'ROLE', of: (it) => it.role },
  { head: 'CHANGES', of: (it) => it.families.join(', ') || null },
  { head: 'ACTIONS', of: (it) => it.actions.length, right: true },
  { head: 'FORCED, BECAUSE', of: (it) => it.forced },
]

const BINDINGS: readonly Column<Binding>[] = [
  { head: 'ROLE', of: (it) => it.role },
  { head: 'HELD BY', of: (it) => `${it.kind} ${it.name ?? it.subject}` },
  { head: 'SINCE', of: (it) => shortTime(it.createdAt) },
  { head: 'WHY', of: (it) => it.reason },
  { head: 'BINDING', of: (it) => it.id },
]

/** Lists the roles that the policies in force give something to. */
export async function roleList(cli: Cli): Promise<number> {
  cli.out.list(await (await cli.client()).all<Role>('/v1/roles'), ROLES, 'No policy names a role.')
  return EXIT.ok
}

/** Lists who holds which role. */
export async function roleBindings(cli: Cli): Promise<number> {
  cli.out.list(await (await cli.client()).all<Binding>('/v1/role-bindings'), BINDINGS, 'Nobody holds a role.')
  return EXIT.ok
}

/** Binds a role to an identity, a team or a token. */
export async function roleBind(
  cli: Cli,
  role: string,
  { to, reason, force = false }: CommonOptions & { readonly to: string; readonly reason: string; readonly force?: boolean },
): Promise<number> {
  const [kind, subject] = holderOf(to)
  const body = { role, kind, subject, reason, force }
  const made = await (await cli.client()).post<Binding>('/v1/role-bindings', body, { startsWork: true })
  cli.out.fields(made, [
    ['role', made.role],
    // As it was named: the answer has the id.
    ['held by', `${made.kind} ${made.name ?? subject}`],
    ['binding', made.id],
  ])
  return EXIT.ok
}

/** Takes a role away. */
export async function roleUnbind(
  cli: Cli,
  id: string,
  { reason, force = false }: CommonOptions & { readonly reason: string; readonly force?: boolean },
): Promise<number> {
  const path = `/v1/role-bindings/${encodeURIComponent(id)}/unbind`
  const gone = await (await cli.client()).post<{ id: string }>(path, { reason, force }, { startsWork: false })
  cli.out.fields(gone, [['taken away', gone.id]])
  return EXIT.ok
}

function holderOf(text: string): [string, string] {
  const [, kind, subject] = /^(identity|team|token):(.+)$/.exec(text) ?? []
  if (kind === undefined || subject === undefined) {
    throw new RekeyError('bad_input', 'Write who gets it as identity:NAME, team:ID or token:NAME.')
  }
  return [kind, subject]
}
