import { type Ctx, RekeyError } from '../../kernel/index.ts'
import type { Policies } from '../../policy/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { boundSubjects, rolesHeld } from '../role.store.ts'
import { peopleOf, teamsOf } from '../team.actions.ts'
import * as rows from './passkey.store.ts'

/**
 * Throws `wrong_state` if this person may configure logins, and nobody who may could log in without `passkey`; null: as things are now.
 * Tokens do not count: the one of the first start is meant to be revoked.
 */
export async function requireAnotherWayIn(tx: Tx, ctx: Ctx, policies: Policies, identity: string, passkey: string | null): Promise<void> {
  if (!(await configures(tx, ctx, policies, identity))) return
  const bound = await boundSubjects(tx)
  const teams = bound.filter(({ kind }) => kind === 'team')
  const members = await Promise.all(teams.map(({ id }) => peopleOf(tx, id)))
  const holders = [...bound.flatMap(({ id, what }) => (what === 'human' ? [id] : [])), ...members.flat().map(({ id }) => id)]
  for (const person of await rows.whoCanLogIn(tx, [...new Set(holders)], passkey)) {
    if (await configures(tx, ctx, policies, person)) return
  }
  throw new RekeyError('wrong_state', 'It is the last way in of the last administrator.', {
    hint: 'Enrol another passkey first, or give another person the role.',
  })
}

/** Whether this person, logged in as well as can be, may configure logins. */
async function configures(sql: Sql, ctx: Ctx, policies: Policies, identity: string): Promise<boolean> {
  const teams = await teamsOf(sql, identity)
  const held = await rolesHeld(sql, identity, teams, null)
  const limits = { attestation: 'none', actsFor: null, scope: null, environments: null } as const
  const best = { aal: 3, authenticatedAt: ctx.clock.now(), ...limits } as const
  return policies.explain(ctx, { id: identity, kind: 'person', identity, name: '', ...held, teams, ...best }, 'login:configure').allowed
}
