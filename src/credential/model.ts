import type { Address, ProbeOutcome, Strategy } from '../connectors/contract.ts'
import type { State } from './rotation.model.ts'
import type { ServerView } from './server.model.ts'

export type IdentityKind = 'human' | 'workload' | 'machine' | 'agent'
export type ActivationRule = 'session' | 'report' | 'none'
export type VersionState = 'staged' | 'current' | 'previous' | 'dead' | 'void' | 'unprovable' | 'irrevocable'

/** A system as it is listed: no place for a secret. */
export interface SystemView {
  readonly name: string
  readonly connector: string
  readonly address: Omit<Address, 'ca'> & { readonly ca: boolean }
  readonly rootAccount: string
  readonly concurrent: number
  readonly credentials: number
  /** When it was given up; null: it was not. */
  readonly decommissionedAt: string | null
  /** Which server it is. */
  readonly server: ServerView
}

/** A credential as it is listed: no place for a secret. */
export interface CredentialView {
  readonly id: string
  readonly name: string
  readonly system: string
  readonly identity: string | null
  readonly owner: string | null
  readonly purpose: string | null
  readonly root: boolean
  readonly strategy: Strategy
  readonly accounts: readonly string[]
  readonly everySeconds: number | null
  readonly graceSeconds: number
  readonly currentVersion: number | null
  readonly currentKnown: boolean
  /** Versions that could still authenticate, the current one included: "what can be used right now". */
  readonly alive: number
  readonly nextRotationAt: string | null
  readonly rotation: { readonly id: string; readonly state: State; readonly reason: string | null } | null
}

/** A version as it is listed: state and times, never the value. */
export interface VersionView {
  readonly number: number
  readonly account: string
  readonly state: VersionState
  readonly valueHeld: boolean
  readonly installedAt: string | null
  readonly revokedAt: string | null
  readonly effectiveDeadAt: string | null
  readonly provedDeadAt: string | null
  readonly shreddedAt: string | null
  readonly lastProbe: { readonly outcome: ProbeOutcome; readonly at: string } | null
  /** Since a rotation may have changed what the last probe saw; null: nothing did. */
  readonly unknownSince: string | null
}

/** A rotation as it is listed and as `rotation start --wait --json` prints it. Times are RFC 3339; `gapMs` is null until measured. */
export interface RotationView {
  readonly rotation: string
  readonly credential: string
  readonly system: string
  readonly state: State
  readonly blockedFrom: State | null
  readonly oldVersion: number | null
  readonly newVersion: number | null
  readonly createdAt: string
  readonly stagedAt: string | null
  readonly installedAt: string | null
  readonly verifiedAt: string | null
  readonly distributedAt: string | null
  readonly activatedAt: string | null
  readonly retiredAt: string | null
  readonly provedDeadAt: string | null
  readonly endedAt: string | null
  readonly blockedAt: string | null
  readonly gapMs: number | null
  readonly tries: number
  /** Why it ended other than proven dead, or what it waits for or is blocked by. */
  readonly reason: string | null
  /** What to do next, if a human is needed. */
  readonly hint: string | null
  readonly startedBy: string
  readonly startReason: string
}
