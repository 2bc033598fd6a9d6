import { type Ctx, RekeyError } from '../kernel/index.ts'
import {
  type Action,
  type Allowed,
  asPrincipal,
  type Decision,
  type Policies,
  type Principal,
  type Resource,
  type WrittenPrincipal,
} from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { findIdentity } from './record.list.ts'
import { rolesHeld, subjectsNamed } from './role.store.ts'

/** A decision, with whom it was made for. */
export interface Explained extends Decision {
  readonly principal: Principal
  /** Roles, and teams as policies name them, that do not count: a directory gave them, and with them a human would hold both hands. */
  readonly withheld: readonly string[]
}

/**
 * What the policies in force would decide, and which policy decides it. `holder` names an identity or a token whose roles (an identity's
 * teams' too) are added to those that are written down. Throws `not_found` if it does not exist, `conflict` if several tokens are called
 * so, `bad_input` if the action is not done to things of that type.
 */
export async function explainPolicies(
  sql: Sql,
  policies: Policies,
  ctx: Ctx,
  _may: Allowed<'policy:explain'>,
  asked: {
    readonly principal: WrittenPrincipal
    readonly holder?: Holder | undefined
    readonly action: Action
    readonly resource?: Resource | undefined
  },
): Promise<Explained> {
  const principal = asPrincipal(ctx, await withBound(sql, asked.principal, asked.holder))
  try {
    const { roles, teams } = policies.withheld(principal)
    const withheld = [...roles, ...teams.map((id) => `Team::${JSON.stringify(id)}`)]
    return { ...policies.explain(ctx, principal, asked.action, asked.resource ?? null), principal, withheld }
  } catch (error) {
    if (!(error instanceof RekeyError)) throw error
    throw new RekeyError('bad_input', error.message)
  }
}

const KINDS = { human: 'person', workload: 'workload', machine: 'machine', agent: 'agent' } as const

interface Holder {
  readonly kind: 'identity' | 'token'
  readonly name: string
}

/** What is on record of the holder takes the place of what was written; roles and teams are added. */
async function withBound(
  sql: Sql,
  written: WrittenPrincipal,
  holder: Holder | undefined,
): Promise<WrittenPrincipal & Pick<Principal, 'provided' | 'providedTeams' | 'human'>> {
  if (holder === undefined) return written
  const rolesWith = (held: readonly string[]) => [...new Set([...written.roles, ...held])]
  if (holder.kind === 'token') {
    const id = await tokenNamed(sql, holder.name)
    return { ...written, id, kind: 'token', roles: rolesWith((await rolesHeld(sql, null, [], id)).roles) }
  }
  const identity = await findIdentity(sql, holder.name)
  if (identity === null) throw new RekeyError('not_found', 'There is no such identity.')
  const teams = [...new Set([...written.teams, ...identity.teams.map(({ id }) => id)])]
  const { id, kind } = identity
  const held = await rolesHeld(sql, id, teams, null)
  return {
    ...written,
    id,
    identity: id,
    kind: KINDS[kind],
    teams,
    roles: rolesWith(held.roles),
    provided: held.provided.filter((role) => !written.roles.includes(role)),
    providedTeams: held.providedTeams.filter((team) => !written.teams.includes(team)),
    human: held.human,
  }
}

async function tokenNamed(sql: Sql, name: string): Promise<string> {
  const [id, ...others] = await subjectsNamed(sql, 'token', name)
  if (id === undefined) throw new RekeyError('not_found', 'There is no such token.')
  if (others.length > 0) throw new RekeyError('conflict', 'There are several tokens of this name.', { hint: 'Name it by its id.' })
  return id
}
