import type { EventBody, LogName } from './event.ts'

/**
 * What a bundle carries. Everything but `filter`, `key` and `pending` is under a signature; those three are only what the
 * exporter said, and the report words them so.
 */
export interface BundleContent {
  /** Verifier key of the signer, for people to compare. Verification uses the key it is given, never this one. */
  readonly key: string
  /** Which events were asked for; all of them when both are `null`. */
  readonly filter: BundleFilter
  readonly logs: { readonly [log in LogName]: BundleLog }
}

export interface BundleFilter {
  /** Only events of this credential (by name). */
  readonly credential: string | null
  /** Only events at or after this time, RFC 3339 UTC in milliseconds. */
  readonly since: string | null
}

export interface BundleLog {
  /** Events that were written but not yet in the tree when the bundle was made: left out. */
  readonly pending: number
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
