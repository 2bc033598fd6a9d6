import type { RotationFigures, StopProofs, Targets } from '../credential/index.ts'
import type { LogFigures, Signer } from '../evidence/index.ts'
import type { AssertionOf } from '../identity/index.ts'
import type { OidcClients } from '../identity/login/index.ts'
import type { AddressGuard, Secret } from '../kernel/index.ts'
import type { Keyring, Rewrap } from '../keys/index.ts'
import type { Policies } from '../policy/index.ts'
import type { Store } from '../store/index.ts'

/** What the routes hand on to use cases. Made once, by the composition root. */
export interface ApiParts {
  readonly store: Store
  /** The policies in force: every decision. */
  readonly policies: Policies
  readonly keyring: Keyring
  /** Signs what a bundle says of itself. */
  readonly signer: Signer
  /** Clients of the providers at which people log in. */
  readonly oidc: OidcClients
  readonly targets: Targets
  /** How a decision on an approval comes by the passkey's assertion; without it none does. */
  readonly assertionOf?: AssertionOf
  /** Which addresses Rekey itself may call: of systems, notices, and issuers of keys. */
  readonly guard: AddressGuard
  /** Under which fingerprints of declared values are made. */
  readonly fingerprintKey: Secret
  /** Files and folders of Rekey itself, which no consumer's file may be or be in. */
  readonly keepOut?: readonly string[]
  /** How long after its death, or its being given up, the ciphertext of a version is kept. */
  readonly shredAfterSeconds: number
  /** From an offboarding to the destruction of credentials that are suspended until then. */
  readonly destroyAfterSeconds: number
  /** What an offboarding stops of other areas. */
  readonly stops: readonly StopProofs[]
  /** Whose rows a rotation of the key-encryption key wraps again. */
  readonly areas: readonly Rewrap[]
  /** Of the program, as `rekey --version` prints it. */
  readonly version: string
  readonly role: 'server' | 'worker' | 'all'
  readonly figures: Figures
  /** The longest life of an API token, seconds; 90 days unless given. */
  readonly tokenMaxSeconds?: number
}

/** Counts over whole tables, for status and metrics; each area answers for its own. Read at each request: nothing is kept. */
export interface Figures {
  rotations(): Promise<RotationFigures>
  evidence(): Promise<readonly LogFigures[]>
}
