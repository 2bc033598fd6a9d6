import type { Login } from './session.ts'

/** What a consumer process is told to be: how to work, and where its secret is, but no secret. */
export interface ConsumerPlan {
  readonly credential: string
  readonly consumer: string
  readonly login: Omit<Login, 'account'>
  /** The account to use; of an alternating pair both, the one in use first. */
  readonly accounts: readonly string[]
  readonly file: { readonly path: string; readonly key: string | null }
  readonly request: string
  readonly everyMs: number
  /** Logs in for every request. */
  readonly script: boolean
  /** Whether it reports to Rekey that it has the new value. */
  readonly reports: boolean
}

/** The plan file of one consumer process. */
export interface ProcessPlan {
  readonly url: string
  readonly tokenFile: string
  readonly consumers: readonly ConsumerPlan[]
}

/** What one consumer has lived through. Times in milliseconds. */
export interface ConsumerStats {
  readonly credential: string
  readonly consumer: string
  readonly connected: boolean
  readonly requests: number
  readonly failed: number
  /** From the first failed request to the next that worked; an outage that lasts counts as long as it has lasted. */
  readonly longestOutageMs: number
  /** Connections that the system ended. */
  readonly cut: number
  /** Times it went over to a new value. */
  readonly moved: number
  /** The class of the last error, never its text. */
  readonly lastError: string | null
}

/** How far the attacker is: of how many values the last try let it in, and how many of its sessions stand. */
export interface AttackState {
  /** Times that it has tried every value. */
  readonly rounds: number
  readonly values: number
  readonly accepted: number
  readonly sessions: number
  /** Values whose last try ended in neither yes nor no. */
  readonly unclear: number
}

/** From a child to the drill. */
export type Report =
  | { readonly kind: 'consumers'; readonly stats: readonly ConsumerStats[] }
  | { readonly kind: 'attack'; readonly state: AttackState }
  | { readonly kind: 'failed'; readonly reason: string }

/** From the drill to a child: go on without me. */
export interface Release {
  readonly kind: 'release'
}
