import type { Secret } from '../kernel/index.ts'
import type { Aal, Principal } from '../policy/index.ts'

/**
 * How long a login lasts, and how long it may rest, seconds: NIST SP 800-63B-4 sections 2.2.3 and 2.3.3. AAL1 may last longer there; here
 * it gets no more than AAL2.
 */
export const SESSION_LIMITS = {
  1: { seconds: 24 * 3_600, idleSeconds: 3_600 },
  2: { seconds: 24 * 3_600, idleSeconds: 3_600 },
  3: { seconds: 12 * 3_600, idleSeconds: 900 },
} as const

/** How exactly it is known when a session was last used, seconds: it may end by so much too early, never too late. */
export const SEEN_SECONDS = 20

/** How long the session that a stronger one replaces still answers requests that are on their way, seconds. */
export const REPLACED_SECONDS = 10

/** By what a person logged in. */
export type LoginMethod = 'oidc' | 'passkey'

/** Assurance levels that a login can prove. */
export type ProvenAal = Exclude<Aal, 0>

/** A login that was accepted. */
export interface Login {
  readonly identity: string
  readonly name: string
  readonly aal: ProvenAal
  /** When the person proved who they are; null: at this moment. */
  readonly authenticatedAt: Date | null
  readonly method: LoginMethod
  readonly provider: string | null
  readonly passkey: string | null
  /** What the browser says that it is, for people to tell their sessions apart. Nothing is decided by it. */
  readonly browser: string
  /** The session that this one takes the place of. */
  readonly replaces: string | null
  /** True: a person keeps its text for the command line; else a browser keeps it in a cookie. */
  readonly byHand?: boolean
}

/** A session that has just begun: the only copy of what its browser keeps. */
export interface NewSession {
  readonly id: string
  readonly token: Secret
  readonly identity: string
  readonly name: string
  readonly aal: Aal
  readonly authenticatedAt: Date
  readonly endsAt: Date
}

/** Whose session it is, and which. */
export interface SessionHolder {
  readonly principal: Principal
  readonly session: string
}

/** A session as it is listed. */
export interface SessionView {
  readonly id: string
  readonly identity: string
  readonly name: string
  readonly aal: Aal
  readonly method: LoginMethod
  readonly browser: string
  readonly createdAt: Date
  readonly authenticatedAt: Date
  /** To `SEEN_SECONDS`. */
  readonly seenAt: Date
  /** When it ends at the latest; sooner if it rests for `idleSeconds`. */
  readonly endsAt: Date
  readonly idleSeconds: number
}
