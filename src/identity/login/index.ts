/**
 * How people prove who they are: OpenID providers, passkeys, enrolment codes, step-up, and what slows guessing down. Its many names are of
 * use to its routes alone, so it has a door of its own. Sessions are part of the identity area's own door.
 */
export type { Act, ProofHolder } from '../step-up.store.ts'
export { bootstrapAdmin, type NewCode } from './code.ts'
export { beginCodeEnrolment, beginEnrolment, type Enrolled, finishCodeEnrolment, finishEnrolment } from './enrol.ts'
export { type LinkInput, linkPerson, type Unlinked, unlinkPerson } from './link.ts'
export type { Browser, LoggedIn, LoginParts, Site } from './model.ts'
export { OidcClients } from './oidc.client.ts'
export { beginOidcLogin, finishOidcLogin, type OidcBegun, type OidcWish } from './oidc.ts'
export type { PasskeysOfLink } from './passkey.link.ts'
export { type Passkey, readPasskeys, removePasskey } from './passkey.list.ts'
export { beginPasskeyLogin, finishPasskeyLogin } from './passkey.login.ts'
export type { Asked, AskedEnrolment, AskedPasskey, EnrolmentAnswer, PasskeyAnswer } from './passkey.ts'
export { type ClientAuthMethod, rewrapLogins } from './provider.store.ts'
export {
  addLoginProvider,
  type LoginProvider,
  type LoginProviderInput,
  listLoginProviders,
  loginProviderNames,
  removeLoginProvider,
} from './provider.ts'
export { type AskedStepUp, beginStepUp, type Confirmation, consumeStepUpProof, finishStepUp, type SteppedUp } from './step-up.ts'
