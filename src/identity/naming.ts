/** Whom a request may name beside what it is about. */
import { type Ctx, isCode, RekeyError } from '../kernel/index.ts'
import { type Action, type Allowed, isMine, type Policies, type Principal, type Resource } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { type LightRow, lightIdentity } from './record.list.ts'

/**
 * Who may be named as owner, manager, member or user: what the asker may read, themselves, whom they act for and teams that they are in.
 * Anything else is to be answered as if it were not there, or a right to give things to others would be a right to learn of them. Both
 * throw `step_up_required` where only a better login is missing.
 */
export interface Naming {
  /** Null: there is none. False then too, after as much work. */
  identity(it: LightRow | null): boolean
  team(id: string): boolean
}

/** What a policy may know of an identity. */
export function identityResource(it: Omit<LightRow, 'name'>): Resource {
  return { type: 'identity', id: it.id, kind: it.kind, environment: it.environment, owner: it.ownerId ?? undefined }
}

/** In place of an identity that is not there: what is decided of it is not used. */
export const NO_IDENTITY = {
  id: '00000000-0000-0000-0000-000000000000',
  name: '',
  kind: 'human',
  environment: 'none',
  ownerId: null,
} as const

/** Whom this asker may name, by `identity:read` and `team:read`. */
export function namingBy(policies: Policies, ctx: Ctx, by: Principal): Naming {
  const selves = [by.identity, by.actsFor?.identity ?? null]
  const reads = <A extends Action>(action: A): Allowed<A> | null => {
    try {
      return policies.allow(ctx, by, action)
    } catch (error) {
      if (isCode(error, 'forbidden')) return null
      throw error
    }
  }
  return {
    identity: (it) => {
      if (it !== null && selves.includes(it.id)) return true
      const may = reads('identity:read')
      if (it === null) may?.can(identityResource(NO_IDENTITY))
      return it !== null && may !== null && isMine(may, identityResource(it))
    },
    team: (id) => {
      if (by.teams.includes(id)) return true
      const may = reads('team:read')
      return may !== null && isMine(may, { type: 'team', id })
    },
  }
}

/** The id of the identity that this text names. Throws `not_found`, in the same words for one that the asker may not name. */
export async function nameIdentity(sql: Sql, naming: Naming, idOrName: string): Promise<string> {
  const light = await lightIdentity(sql, idOrName)
  // Asked also of what is not there, so that both take the same time.
  if (!naming.identity(light) || light === null) noIdentity(idOrName)
  return light.id
}

/** The same of several, in the same order. */
export async function nameIdentities(sql: Sql, naming: Naming, idsOrNames: readonly string[]): Promise<string[]> {
  const ids: string[] = []
  for (const text of idsOrNames) ids.push(await nameIdentity(sql, naming, text))
  return ids
}

/** The same words for an identity that is not there and for one that is not the asker's. */
export function noIdentity(idOrName: string): never {
  throw new RekeyError('not_found', `No such identity: ${idOrName}`, { hint: 'See rekey identity list.' })
}
