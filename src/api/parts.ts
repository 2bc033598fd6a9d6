import type { State, Targets } from '../credential/index.ts'
import type { LogName } from '../evidence/index.ts'
import type { Secret } from '../kernel/index.ts'
import type { Keyring, Rewrap } from '../keys/index.ts'
import type { Store } from '../store/index.ts'

/** What the routes hand on to use cases. Made once, by the composition root. */
export interface ApiParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly targets: Targets
  /** Under which fingerprints of declared values are made. */
  readonly fingerprintKey: Secret
  /** Whose rows a rotation of the key-encryption key wraps again. */
  readonly areas: readonly Rewrap[]
  /** Of the program, as `rekey --version` prints it. */
  readonly version: string
  readonly role: 'server' | 'worker' | 'all'
  readonly figures: Figures
}

/** Counts over whole tables, for status and metrics; each area answers for its own. Read at each request: nothing is kept. */
export interface Figures {
  rotations(): Promise<{
    /** Rotations there are in each state; a state without any is missing. */
    readonly byState: Readonly<Partial<Record<State, number>>>
    /** How many have ended, and the seconds from their start to their end added up. */
    readonly ended: number
    readonly seconds: number
  }>
  evidence(): Promise<readonly EvidenceFigures[]>
}

/** How far one evidence log is published. */
export interface EvidenceFigures {
  readonly log: LogName
  /** Events that are written and not yet in the tree. */
  readonly unsequenced: number
  /** The newest signed tree head; null before the first. */
  readonly checkpoint: { readonly size: number; readonly at: string } | null
}
