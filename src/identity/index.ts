export { putIdentities, removeIdentities } from './actions.ts'
export { beginAnswer, finishAnswer, releaseAnswer } from './answers.ts'
export { KnownTokens } from './known.ts'
export type { JoinFields, RecoveryOverride } from './lifecycle.fields.ts'
export { type Handover, type HandoverCause, type HandoverRule, openHandovers } from './lifecycle.handover.ts'
export { joinIdentity } from './lifecycle.join.ts'
export { type MoveChange, moveIdentity } from './lifecycle.move.ts'
export { findOwner, type OwnerInput } from './lifecycle.owners.ts'
export { leaveIdentity, offboardIdentity, resumeIdentity, suspendIdentity } from './lifecycle.status.ts'
export { countIdentities, fleetIdentities, identitiesById } from './list.ts'
export type { Begun, Identity, IdentityFields, IdentityKind } from './model.ts'
export { activatePolicies, diffPolicies, ensurePolicySet, type Proposed, proposePolicies } from './policyset.actions.ts'
export { findPolicySet, listPolicySets, type WholePolicySet } from './policyset.list.ts'
export {
  type ApprovalGate,
  type Ask,
  type FileChange,
  type PolicySetView,
  secondPerson,
  standsBehind,
  type Warrant,
} from './policyset.model.ts'
export { reloadPolicies, watchPolicies } from './policyset.watch.ts'
export {
  type JoinInput,
  joinByHand,
  type MoveInput,
  moveByHand,
  moveStatusByHand,
  type RecordParts,
  readIdentities,
  readIdentity,
} from './record.actions.ts'
export { fsckIdentities } from './record.fsck.ts'
export { findIdentity, type IdentityFilter, identityByExternalId, identityNamed, listIdentities, type NamePage } from './record.list.ts'
export {
  type Answerable,
  answerableFor,
  emergencyIdentities,
  identityIds,
  idsByName,
  peopleEntitled,
  recordsById,
} from './record.lookup.ts'
export {
  DEFAULT_TENANCY,
  type Entitlement,
  type ExternalId,
  type Ial,
  IDENTITY_STATUSES,
  type IdentityDetail,
  type IdentityRecord,
  type IdentityStatus,
  type Labels,
  NEXT_STATUS,
  type OwnerRef,
  type OwnerState,
  RECORD_LIMITS,
  RECOVERY_CLASSES,
  type RecoveryClass,
  recoveryClassOf,
} from './record.model.ts'
export {
  dueChanges,
  dueEntitlements,
  type EntitlementChange,
  IDENTITY_CHANGED,
  type IdentityChange,
  markEntitlementsHandled,
  markHandled,
} from './record.queues.ts'
export { type BindInput, bindRole, unbindRole } from './role.actions.ts'
export { type Explained, explainPolicies } from './role.explain.ts'
export { listBindings, type RoleHolder, type RoleView, rolesIn, rolesOf } from './role.list.ts'
export type { Binding, SubjectKind } from './role.model.ts'
export {
  addTeamMembers,
  membersOf,
  peopleOf,
  putTeam,
  removeTeam,
  removeTeamMembers,
  securityContact,
  setTeamMembers,
  teamByExternalId,
  teamById,
  teamsOf,
} from './team.actions.ts'
export { changeTeam, createTeam, readTeam, readTeams, type TeamDetail, type TeamPage, teamNamed } from './team.list.ts'
export type { Members, Team, TeamFields } from './team.model.ts'
export { authenticate, ensureAdminToken } from './tokens.ts'
