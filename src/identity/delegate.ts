import type { Attestation, Principal, PrincipalKind } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import type { IdentityKind } from './model.ts'
import { type Row, rowById } from './record.store.ts'
import { rolesOf } from './role.list.ts'
import { teamsOf } from './team.actions.ts'

const KINDS: Readonly<Record<IdentityKind, PrincipalKind>> = { human: 'person', workload: 'workload', machine: 'machine', agent: 'agent' }

/** What a proof is limited to. */
export interface Limits {
  readonly scope: readonly string[] | null
  readonly environments: readonly string[] | null
}

/** An identity that is active; null if it is not, or not there. */
export async function activeIdentity(sql: Sql, id: string): Promise<Row | null> {
  const row = await rowById(sql, id)
  return row?.status === 'active' ? row : null
}

/** An identity as who asks, with its own roles and those of its teams. */
export async function identityPrincipal(sql: Sql, row: Row, attestation: Attestation, limits: Limits): Promise<Principal> {
  const teams = await teamsOf(sql, row.id)
  return {
    id: row.id,
    kind: KINDS[row.kind],
    identity: row.id,
    name: row.name,
    ...(await rolesOf(sql, { identity: row.id, teams })),
    teams,
    aal: 0,
    authenticatedAt: null,
    attestation,
    actsFor: null,
    ...limits,
  }
}

/**
 * Whom an agent acts for, as the bound of what it may do: with the best login there is, since what counts is what they could do, not
 * whether they are logged in at this moment. Null if that is nobody who is active, or an agent itself.
 */
export async function boundFor(sql: Sql, id: string, at: Date, limits: Limits): Promise<Principal | null> {
  const row = await activeIdentity(sql, id)
  if (row === null || row.kind === 'agent') return null
  const own = await identityPrincipal(sql, row, 'hardware', limits)
  return row.kind === 'human' ? { ...own, attestation: 'none', aal: 3, authenticatedAt: at } : own
}
