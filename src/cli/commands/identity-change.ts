import { printable, RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { showPlan, waitForClosure } from '../closure.ts'
import { EXIT } from '../exit.ts'
import { follow } from '../follow.ts'
import { type IdentityFull, showIdentity } from './identity-show.ts'

/** Options of `rekey identity join` and `rekey identity move`. */
export interface IdentityOptions {
  readonly kind?: string
  readonly name?: string
  readonly owner?: string
  readonly purpose?: string
  readonly environment?: string
  readonly tenancy?: string
  readonly manager?: string
  readonly label?: readonly string[]
  readonly entitlement?: readonly string[]
  readonly ial?: string
  readonly ialAt?: string
  readonly recoveryClass?: string
  readonly reason?: string
}

/** Adds an identity. */
export async function identityJoin(cli: Cli, name: string, options: IdentityOptions): Promise<number> {
  const { recoveryClass, reason } = options
  const override = recoveryClass === undefined ? {} : { recoveryClass: { class: recoveryClass, reason } }
  return send(cli, '/v1/identities', { name, kind: options.kind, ...given(cli, options), ...override })
}

/** Changes what the record says of one. */
export async function identityMove(cli: Cli, identity: string, options: IdentityOptions): Promise<number> {
  const { recoveryClass, reason, name } = options
  const override = recoveryClass === undefined ? {} : { recoveryClass: { class: recoveryClass, reason } }
  return send(cli, `/v1/identities/${encodeURIComponent(identity)}/move`, { ...given(cli, options), ...override, name, reason })
}

/** Options of `rekey identity suspend`, `resume` and `offboard`. */
export interface StatusOptions {
  readonly reason?: string
  readonly wait?: boolean
  readonly plan?: boolean
  readonly force?: boolean
}

/** Suspends, resumes or offboards one; shows only what would happen, or waits until it has. */
export const identityStatus =
  (verb: 'suspend' | 'resume' | 'offboard') =>
  async (cli: Cli, identity: string, { reason, wait, plan, force }: StatusOptions): Promise<number> => {
    const path = `/v1/identities/${encodeURIComponent(identity)}`
    if (plan === true) return showPlan(cli, path, verb === 'offboard' ? 'destroy' : 'suspend')
    if (reason === undefined) throw new RekeyError('bad_input', 'Say why with --reason, for the evidence.')
    const client = await cli.client()
    const changed = await client.post<IdentityFull>(`${path}/${verb}`, { reason, force }, { startsWork: true })
    if (wait !== true) showIdentity(cli, changed)
    if (wait !== true) return EXIT.ok
    const { id, name, status } = changed
    const what = printable(`${name} (${id}) is ${status === 'active' ? 'resumed' : status}; what becomes of its credentials has begun`)
    const begun = { what, see: 'rekey closure list', ids: { identity: id, name, status } }
    return follow(cli, begun, () => waitForClosure(cli, id, verb === 'offboard' ? 'destroy' : verb))
  }

async function send(cli: Cli, path: string, body: object): Promise<number> {
  showIdentity(cli, await (await cli.client()).post<IdentityFull>(path, body, { startsWork: true }))
  return EXIT.ok
}

function given(cli: Cli, { owner, purpose, environment, tenancy, manager, label, entitlement, ial, ialAt }: IdentityOptions): object {
  return {
    owner,
    purpose,
    environment,
    tenancy,
    // `-` takes the manager away: an empty argument is more often a mistake.
    manager: manager === '-' ? null : manager,
    labels: label && Object.fromEntries(noneOr('label', label).map(labelOf)),
    entitlements: entitlement && noneOr('entitlement', entitlement).map(entitlementOf),
    ial: ialOf(cli, ial, ialAt),
  }
}

/** A single `-` takes all away; beside others it would be lost among them. */
function noneOr(option: string, said: readonly string[]): readonly string[] {
  if (!said.includes('-')) return said
  if (said.length > 1) throw new RekeyError('bad_input', `Say --${option} - for none, or name them; not both.`)
  return []
}

function labelOf(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at <= 0) throw new RekeyError('bad_input', 'Write a label as key=value.')
  return [text.slice(0, at), text.slice(at + 1)]
}

/** `2:passport office`, with a time of its own or as of now; `-` takes it away. */
function ialOf({ clock }: Cli, text: string | undefined, at: string | undefined): object | null | undefined {
  if (text === undefined && at !== undefined) throw new RekeyError('bad_input', 'A time of an assurance comes with --ial.')
  if (text === undefined) return undefined
  if (text === '-') return null
  const [, level, source] = /^([123]):(.+)$/s.exec(text) ?? []
  if (level === undefined) throw new RekeyError('bad_input', 'Write the assurance as LEVEL:SOURCE, for example 2:hr-desk, or - for none.')
  return { level: Number(level), source, at: at === undefined ? clock.now().toISOString() : timeOf(at) }
}

function timeOf(text: string): string {
  const at = new Date(text)
  if (Number.isNaN(at.getTime()))
    throw new RekeyError('bad_input', 'Write --ial-at as a day, 2026-01-31, or as a time, 2026-01-31T12:00:00Z.')
  return at.toISOString()
}

function entitlementOf(text: string): object {
  const [system, account, role, ...more] = text.split(':')
  if (!system || !account || !role || more.length > 0) throw new RekeyError('bad_input', 'Write an entitlement as system:account:role.')
  return { system, account, role }
}
