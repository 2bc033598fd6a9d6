/**
 * SCIM 2.0 (RFC 7643, 7644): identity providers push people and groups; here is everything of the protocol but HTTP. Users become
 * identities of kind human, groups become teams; what they may do is decided elsewhere.
 */
export { isObject, type JsonObject } from './attribute.ts'
export { discoveryList, discoveryOne, resourceTypes, schemas, serviceProviderConfig } from './discovery.ts'
export { ScimError, type ScimType } from './error.ts'
export { createGroup, deleteGroup, patchGroup, readGroup, replaceGroup } from './group.actions.ts'
export { offboardDue } from './offboard.ts'
export type { Wanted } from './project.ts'
export {
  addProvider,
  authenticateScim,
  listProviders,
  type NewToken,
  OFFBOARD_AFTER_MAX_SECONDS,
  OVERLAP_MAX_SECONDS,
  type ProviderFields,
  revokeProvider,
  rotateProviderToken,
  type ScimClient,
  type ScimProvider,
} from './provider.ts'
export { listView, readQuestion, readSearch, wantedIn } from './question.ts'
export { type Found, type Question, searchAll, searchGroups, searchUsers, showGroup, showUser } from './search.ts'
export { createUser, deleteUser, patchUser, readUser, replaceUser } from './user.actions.ts'
export { BASE, etagOf } from './view.ts'
