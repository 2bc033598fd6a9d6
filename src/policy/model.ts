/** What a principal is: a person, a program, a service account or integration, an AI agent, or an API token for automation. */
export const PRINCIPAL_KINDS = ['person', 'workload', 'machine', 'agent', 'token'] as const
/** One of the kinds of principals. */
export type PrincipalKind = (typeof PRINCIPAL_KINDS)[number]

/** How well a proof of a program is bound to where it runs. The scale is Rekey's own; it is no AAL (NIST SP 800-63B has people only). */
export const ATTESTATIONS = ['none', 'token', 'bound', 'hardware'] as const
/** One step of the scale, weakest first. */
export type Attestation = (typeof ATTESTATIONS)[number]

/** Authenticator assurance level, NIST SP 800-63B-4 section 2. 0: not a person's login. */
export type Aal = 0 | 1 | 2 | 3

/** One thing by which somebody holds rights. */
export interface Holding {
  /** A role, a team, or an identity or token that a policy names itself. */
  readonly kind: 'role' | 'team' | 'one'
  readonly id: string
  /** False: only a directory provider's word gives it. */
  readonly own: boolean
}

/** Who asks, as proven. Roles and teams are what its bindings say at this moment. */
export interface Principal {
  /** Of the identity for people and programs, of the token for tokens. */
  readonly id: string
  readonly kind: PrincipalKind
  /** The identity on record; null for a token that belongs to none. */
  readonly identity: string | null
  /** For people to read; nothing is decided by it. */
  readonly name: string
  readonly roles: readonly string[]
  /** Those of `roles` that only a directory provider's word gives: they do not count where they would bring both hands together. */
  readonly provided?: readonly string[]
  /** Immutable ids of teams, nesting resolved. */
  readonly teams: readonly string[]
  /** Those of `teams` that only a directory provider's word gives: what policies give them does not count, in the same way. */
  readonly providedTeams?: readonly string[]
  /** What the same human holds by all their identities and good tokens. Looked up only for whom a directory gives something. */
  readonly human?: readonly Holding[]
  readonly aal: Aal
  /** When the person last proved who they are; null for everything else. */
  readonly authenticatedAt: Date | null
  readonly attestation: Attestation
  /** For whom an agent acts (`act`, RFC 8693 section 4.1). */
  readonly actsFor: { readonly identity: string } | null
  /** The actions that this proof is limited to; null: not limited. An empty list is no action at all. */
  readonly scope: readonly string[] | null
  /** The environments that this proof is limited to; null: not limited. An empty list is no environment at all. */
  readonly environments: readonly string[] | null
  /**
   * Of an API token: the identities that made it, beside the one that it has; through tokens made by tokens and across rotations. Empty:
   * the first token of the installation. Null: nobody is on record. Left out for every other proof.
   */
  readonly makers?: readonly string[] | null
  /** Of a program that showed a signed token: by which issuer and rule, as links of evidence (`proof_issuer`, `proof_rule`). */
  readonly proof?: { readonly [what: string]: string }
  /** Whom it may never have more than: what is decided for it is decided for this one too. Of an agent: for whom it acts, at their best. */
  readonly within?: Principal
  /**
   * Who made it, as they are now and at their best: what is decided for it is decided for each of them. Of an API token that its makers
   * hold themselves; it still makes tokens, as they do.
   */
  readonly makersNow?: readonly Principal[]
}

/** What can be acted on. `installation` is all of it. */
export const RESOURCE_TYPES = [
  'installation',
  'credential',
  'system',
  'identity',
  'team',
  'approval',
  'session',
  'passkey',
  'token',
  'closure',
  'finding',
  'exception',
  'review',
] as const
/** One of the types of things that can be acted on. */
export type ResourceType = (typeof RESOURCE_TYPES)[number]

/** One thing that is acted on. What is left out, no policy can rely on: it must ask for its presence first. */
export interface Resource {
  readonly type: ResourceType
  /** Immutable; of a system its name. */
  readonly id: string
  readonly environment?: string | undefined
  /** Identity id, or immutable team id, of who answers for it; of a session or passkey: whose it is. */
  readonly owner?: string | undefined
  /** Name of the system that it lives on. */
  readonly system?: string | undefined
  /** Of an identity: human, workload, machine, agent. Of an approval: the action that it is for. */
  readonly kind?: string | undefined
}
