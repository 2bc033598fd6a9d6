import type { EventBody, LogName } from './event.ts'

/** What a bundle carries. The head is under a signature of its own; the logs are under their checkpoints. */
export interface BundleContent {
  readonly head: BundleHead
  /** The signed note over the head, see `signHead`. */
  readonly note: string
  readonly logs: { readonly [log in LogName]: BundleLog }
}

/** What a bundle says of itself, so that nothing can be taken out of it, and it cannot pass for another one. */
export interface BundleHead {
  /** Verifier key of the signer, for people to compare. Verification uses the key it is given, never this one. */
  readonly key: string
  /** When it was exported by the exporter's clock, RFC 3339 UTC in milliseconds. */
  readonly exportedAt: string
  /** Which events were asked for; all of them when both are `null`. */
  readonly filter: BundleFilter
  readonly logs: { readonly [log in LogName]: LogStatement }
}

export interface BundleFilter {
  /** Only events of this credential (by name). */
  readonly credential: string | null
  /** Only events at or after this time, RFC 3339 UTC in milliseconds. */
  readonly since: string | null
}

/** What a bundle says of one of its logs. */
export interface LogStatement {
  /** Leaves of the published tree when the bundle was made; 0 if nothing was published. */
  readonly size: number
  /** Its root, base64; that of the tree without leaves if `size` is 0. */
  readonly root: string
  /** How many of its checkpoints are in the bundle. */
  readonly checkpoints: number
  /** How many of its events are in the bundle: all that `filter` chooses. */
  readonly events: number
  /** Events that were written but not yet in the tree when the bundle was made: left out. */
  readonly pending: number
}

export interface BundleLog {
  /** Oldest first. */
  readonly checkpoints: readonly BundleCheckpoint[]
  /** By index, proven to be in the tree of the last checkpoint. */
  readonly events: readonly BundleEvent[]
}

export interface BundleCheckpoint {
  /** The signed note. */
  readonly note: string
  /** Consistency with the checkpoint before it, base64 hashes; empty for the first. */
  readonly proof: readonly string[]
}

export interface BundleEvent {
  readonly index: number
  readonly event: EventBody
  /** Inclusion in the tree of the last checkpoint, base64 hashes. */
  readonly proof: readonly string[]
}
