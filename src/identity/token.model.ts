import { isAction } from '../policy/index.ts'
import { checkText, refuse } from './record.model.ts'

const DAY_SECONDS = 86_400
/** The longest life of a token unless the configuration says otherwise, seconds. */
export const TOKEN_MAX_SECONDS = 90 * DAY_SECONDS
/** The life of a token unless asked for otherwise, seconds; less where the configuration allows less. */
export const TOKEN_SECONDS = 30 * DAY_SECONDS
/** How long the old text stays good after a rotation: at most, and unless asked for otherwise. */
export const TOKEN_OVERLAP_MAX_SECONDS = 30 * DAY_SECONDS
export const TOKEN_OVERLAP_SECONDS = DAY_SECONDS
/** Characters of a token's name. */
export const TOKEN_NAME_CHARS = 60

/** `suspended`: it is refused while its identity, whom it acts for, or one of its makers is not active. */
export type TokenState = 'active' | 'suspended' | 'expired' | 'revoked'

/** A token as it is listed: nothing of its text. */
export interface TokenView {
  readonly id: string
  readonly name: string
  readonly state: TokenState
  /** Whose it is; name null if the identity is gone. */
  readonly identity: { readonly id: string; readonly name: string | null } | null
  readonly actsFor: { readonly id: string; readonly name: string | null } | null
  /** Identities that stand behind it since they made it; empty: the first token; null: nobody is on record. */
  readonly makers: readonly { readonly id: string; readonly name: string | null }[] | null
  /** Its own; one that follows its identity has that one's too. */
  readonly roles: readonly string[]
  readonly followsIdentity: boolean
  readonly scope: readonly string[] | null
  readonly environments: readonly string[] | null
  readonly createdAt: Date
  readonly createdBy: string
  /** Null: never, which only the token of the first start is. */
  readonly expiresAt: Date | null
  /** To the minute, and up to a minute late. */
  readonly lastUsedAt: Date | null
  readonly revokedAt: Date | null
  readonly revokeReason: string | null
  /** Id of the token that took its place. */
  readonly replacedBy: string | null
  readonly provenDeadAt: Date | null
}

/** What a token is to be. */
export interface TokenInput {
  readonly name: string
  readonly roles: readonly string[]
  /** Actions that it is limited to; null: all that its roles give. */
  readonly scope: readonly string[] | null
  /** Environments that it is limited to; null: not limited. */
  readonly environments: readonly string[] | null
  /** Null: as usual. */
  readonly expiresSeconds: number | null
  /** Id or name of whose it is; null: nobody's. */
  readonly identity: string | null
  /** Id or name of whom its agent acts for. */
  readonly actsFor: string | null
  readonly reason: string
  /** True: also if it then holds directory rights and credential rights. */
  readonly force: boolean
}

/** Each once, in order. Throws `bad_input` for an empty list, which must never mean all, and for what is no action. */
export function checkScope(scope: readonly string[] | null): string[] | null {
  if (scope === null) return null
  if (scope.length === 0) refuse('The scope names no action.', 'Leave it out for everything that the roles give.')
  const unknown = scope.find((action) => !isAction(action))
  if (unknown !== undefined) refuse('The scope names something that is no action.', 'Actions are written as in rotation:start.')
  return [...new Set(scope)].sort()
}

/** Each once, in order. Throws `bad_input` for an empty list. */
export function checkEnvironments(environments: readonly string[] | null): string[] | null {
  if (environments === null) return null
  if (environments.length === 0) refuse('No environment is named.', 'Leave it out for all of them.')
  return [...new Set(environments.map((name) => checkText('environment', name)))].sort()
}
