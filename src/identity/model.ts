/** What an identity is: a person, a program that runs, a service account or integration, or an AI agent. */
export type IdentityKind = 'human' | 'workload' | 'machine' | 'agent'

/** An identity as it is declared: the durable record of who or what uses credentials. Nothing of it is secret. */
export interface IdentityFields {
  readonly name: string
  readonly kind: IdentityKind
  /** Who answers for it. */
  readonly owner: string
  readonly purpose: string
  readonly environment: string
}

/** A stored identity. */
export interface Identity extends IdentityFields {
  readonly id: string
}

/** What a request with an Idempotency-Key finds: nothing yet, so that it must do the work, or the answer of the first one. */
export type Begun = { readonly kind: 'fresh' } | { readonly kind: 'answered'; readonly status: number; readonly answer: unknown }

/** For how long an answer is kept for a repeated request, hours. */
export const ANSWER_HOURS = 24
