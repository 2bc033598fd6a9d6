import { printable, RekeyError } from '../../kernel/index.ts'
import { RESOURCE_TYPES } from '../../policy/index.ts'
import type { Cli, CommonOptions } from '../cli.ts'
import { EXIT } from '../exit.ts'

/** Options of `rekey policy explain`. */
export interface ExplainOptions extends CommonOptions {
  readonly identity?: string
  readonly token?: string
  readonly kind?: string
  readonly role?: readonly string[]
  readonly aal?: number
  readonly minutesSinceLogin?: number
  readonly on?: string
  readonly id?: string
  readonly environment?: string
  readonly owner?: string
  readonly system?: string
}

interface Explained {
  readonly allowed: boolean
  readonly reason: string
  readonly policies: readonly string[]
  readonly stepUp: { readonly aal: number; readonly maxAgeSeconds: number | null } | null
  readonly roles: readonly string[]
  readonly withheld: readonly string[]
}

const REASONS: Readonly<Record<string, string>> = {
  permitted: 'a policy permits it',
  scope: 'the proof is limited to other actions',
  environment: 'the proof is limited to other environments',
  unpermitted: 'no policy permits it',
  forbidden: 'a policy forbids it',
  failed: 'a policy could not be decided, which counts as a refusal',
}

/** Says what the policies in force would decide, and which of them decides it. Ends with 0 for yes and 1 for no. */
export async function policyExplain(cli: Cli, action: string, options: ExplainOptions): Promise<number> {
  const decision = await (await cli.client()).post<Explained>('/v1/policies/explain', questionOf(action, options), { startsWork: false })
  const { allowed, reason, policies, stepUp, roles, withheld } = decision
  cli.out.fields(decision, [
    ['allowed', allowed ? 'yes' : 'no'],
    ['because', REASONS[reason] ?? reason],
    ['policies', policies.join(', ')],
    ['roles', roles.join(', ')],
    ['do not count', withheld.length === 0 ? null : `${withheld.join(', ')}: from a directory, and would bring both hands together`],
    ['would do', stepUp === null ? null : loginOf(stepUp)],
  ])
  return allowed ? EXIT.ok : EXIT.failed
}

function loginOf({ aal, maxAgeSeconds }: NonNullable<Explained['stepUp']>): string {
  const age = maxAgeSeconds === null ? '' : `, at most ${Math.floor(maxAgeSeconds / 60)} minutes old`
  return `a login of assurance level ${aal}${age}`
}

function questionOf(action: string, options: ExplainOptions): object {
  const { identity, token, kind, role = [], aal, minutesSinceLogin, on, id, environment, owner, system } = options
  if (identity !== undefined && token !== undefined) throw new RekeyError('bad_input', 'Give --identity or --token, not both.')
  if (on === undefined && [id, environment, owner, system].some((given) => given !== undefined)) {
    throw new RekeyError('bad_input', 'What it is done to needs its type: add --on.')
  }
  if (on !== undefined && !RESOURCE_TYPES.some((type) => type === on)) {
    throw new RekeyError('bad_input', `${printable(on)} is no type of thing.`, {
      hint: `--on takes one of ${RESOURCE_TYPES.join(', ')}. Which one it is: --id, --system, --environment, --owner.`,
    })
  }
  return {
    action,
    principal: { kind, roles: role, aal, minutesSinceLogin },
    ...(identity === undefined ? {} : { holder: { kind: 'identity', name: identity } }),
    ...(token === undefined ? {} : { holder: { kind: 'token', name: token } }),
    ...(on === undefined ? {} : { resource: { type: on, id, environment, owner, system } }),
  }
}
