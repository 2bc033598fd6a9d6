/**
 * How people prove who they are: OpenID providers, passkeys, enrolment codes, step-up, and what slows guessing down. Its many names are of
 * use to its routes alone, so it has a door of its own. Sessions are part of the identity area's own door.
 */
export { type Browser, type LoggedIn, type LoginParts, loginRefused, type ProvenAal, type Site } from './model.ts'
export { OidcClients } from './oidc.client.ts'
export { beginOidcLogin, CALLBACK_PATH, finishOidcLogin, type OidcBegun, type OidcWish } from './oidc.ts'
export { type ClientAuthMethod, rewrapLogins } from './provider.store.ts'
export {
  addLoginProvider,
  type LoginProvider,
  type LoginProviderInput,
  linkPerson,
  listLoginProviders,
  loginProviderNames,
  removeLoginProvider,
} from './provider.ts'
