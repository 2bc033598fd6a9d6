import { RekeyError, type Secret } from '../../kernel/index.ts'
import type { Keyring } from '../../keys/index.ts'
import type { Policies } from '../../policy/index.ts'
import type { Store } from '../../store/index.ts'
import type { NewSession, SessionHolder } from '../session.model.ts'
import type { OidcClients } from './oidc.client.ts'

/** What the use cases of login need of the process. */
export interface LoginParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly policies: Policies
  readonly oidc: OidcClients
}

/** Where this server's pages are, as browsers know it. */
export interface Site {
  /** Scheme, host and port. */
  readonly origin: string
  /** The relying party of passkeys: the host without its port (WebAuthn section 4). */
  readonly rpId: string
}

/** The browser that asks. What it holds is known by hash only. */
export interface Browser {
  readonly site: Site
  /** What binds a login that is under way to this browser; null before its first one. */
  readonly flow: Secret | null
  /** By which it is known from earlier logins. */
  readonly device: Secret | null
  /** Network address, for the back-off. */
  readonly source: string
  readonly agent: string
  readonly session: SessionHolder | null
}

/** A login that succeeded, and by what its browser will be known. */
export interface LoggedIn {
  readonly session: NewSession
  readonly device: Secret
}

/** How long a login may be on its way, seconds. */
export const FLOW_SECONDS = 600

/**
 * The one answer to every login that fails: for an unknown person, a suspended one, a wrong or expired proof. Which it was stands in the
 * log, or in the evidence if it concerns somebody on record.
 */
export function loginRefused(): RekeyError {
  return new RekeyError('unauthenticated', 'The login was refused.', { hint: 'Begin again; if it stays, ask whoever runs Rekey.' })
}
