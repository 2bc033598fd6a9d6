/** What a role can be bound to. */
export type SubjectKind = 'team' | 'identity' | 'token'

/** Who holds a role, and since when and why. */
export interface Binding {
  readonly id: string
  readonly role: string
  readonly kind: SubjectKind
  /** Immutable id of the team, identity or token. */
  readonly subject: string
  /** Of an identity or token, for people; null for a team. */
  readonly name: string | null
  readonly createdAt: string
  readonly createdBy: string
  readonly reason: string
}
