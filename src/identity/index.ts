export { type Permit, putIdentities, removeIdentities } from './actions.ts'
export { beginAnswer, finishAnswer, keyOwner, releaseAnswer } from './answers.ts'
export {
  bypassApproval,
  type Consumed,
  consumeApproval,
  type DecisionInput,
  decideApproval,
  type NewApproval,
  requestApproval,
  takeBack,
  withdrawApproval,
} from './approval.actions.ts'
export { ApprovalRequired, approvalGate, requireApproval, withApproval } from './approval.gate.ts'
export {
  APPROVAL_VIEWS,
  type ApprovalDetail,
  type ApprovalsOf,
  type ApprovalView,
  type DecisionView,
  type FactorView,
  readApproval,
  readApprovals,
} from './approval.list.ts'
export {
  APPROVAL_LIMITS,
  APPROVAL_STATES,
  type Approvable,
  type ApprovalState,
  type Assertion,
  approvalDigest,
  type Factor,
  NEXT_APPROVAL,
  parseFactors,
} from './approval.model.ts'
export { APPROVABLE, type ApprovalRule } from './approval.rule.store.ts'
export { listRules, putRule, type RuleInput as ApprovalRuleInput, removeRule } from './approval.rules.ts'
export type { Standing } from './approval.standing.ts'
export { sweepApprovals } from './approval.sweep.ts'
export { type ApprovalParts, type AssertionOf, bypassByHand, decideByHand, takeBackByHand, withdrawByHand } from './approval.use.ts'
export { authenticateAgain, authenticateBearer, type BearerParts } from './bearer.ts'
export { makersBehind, standBehind, standsBehind, standsBehindToken } from './behind.ts'
export { listMadeByLeavers, type MadeByLeaver } from './code.store.ts'
export { tokenFindings } from './fsck.ts'
export {
  addIssuer,
  type IssuerView,
  mapIssuer,
  type RuleInput,
  type RuleView,
  readIssuers,
  readRules,
  removeIssuer,
  unmapIssuer,
  weakRules,
} from './issuer.actions.ts'
export { IssuerKeys } from './issuer.keys.ts'
export {
  ALGORITHMS,
  ISSUER_TYPES,
  type IssuerFields,
  type IssuerInput,
  type IssuerType,
  type KeySource,
  REPLAYS,
  type Replay,
  type RuleFields,
} from './issuer.model.ts'
export { KnownLater } from './known.later.ts'
export { KnownTokens } from './known.ts'
export type { JoinFields, RecoveryOverride } from './lifecycle.fields.ts'
export { type Handover, type HandoverCause, type HandoverRule, openHandovers } from './lifecycle.handover.ts'
export { joinIdentity } from './lifecycle.join.ts'
export { type Leaving, leavingOf } from './lifecycle.leaving.ts'
export { type MoveChange, moveIdentity } from './lifecycle.move.ts'
export { findOwner, type OwnerInput } from './lifecycle.owners.ts'
export { barIdentity, leaveIdentity, offboardIdentity, resumeIdentity, suspendIdentity } from './lifecycle.status.ts'
export { countIdentities, fleetIdentities, identitiesById } from './list.ts'
export type { Begun, Identity, IdentityFields, IdentityKind } from './model.ts'
export { type Naming, nameIdentities, namingBy } from './naming.ts'
export { addChannel, type ChannelParts, type ChannelView, readChannels, removeChannel, rewrapChannels } from './notify.channel.ts'
export { CHANNEL_KINDS, type ChannelFields, type ChannelKind, type SmtpSettings, type WebhookSettings } from './notify.model.ts'
export { type Escalation, queueEscalation } from './notify.queue.ts'
export { unreachableApprovers } from './notify.reach.ts'
export type { Guard } from './notify.send.ts'
export { type Delivery, listDeliveries } from './notify.store.ts'
export { type NotifyParts, runNotifier, sendDue, testChannel } from './notify.worker.ts'
export { readSamePerson, type SamePerson, sayPerson } from './person.actions.ts'
export { likelyDoubles } from './person.ts'
export { activatePolicies, diffPolicies, ensurePolicySet, type Proposed, proposePolicies } from './policyset.actions.ts'
export type { Activation } from './policyset.activation.ts'
export type { BothHandsView, HandView } from './policyset.hands.ts'
export { findPolicySet, listPolicySets, type WholePolicySet } from './policyset.list.ts'
export {
  type ApprovalGate,
  type Ask,
  type FileChange,
  type PolicySetView,
  secondPerson,
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
  type StatusInput,
} from './record.actions.ts'
export { type Escalated, escalationsOf, type Unlooked } from './record.escalate.ts'
export { foldRest } from './record.fold.ts'
export { fsckIdentities } from './record.fsck.ts'
export { findIdentity, type IdentityFilter, identityByExternalId, identityNamed, listIdentities, type NamePage } from './record.list.ts'
export {
  type Answerable,
  answerableFor,
  emergencyIdentities,
  idsByName,
  lockStatuses,
  ownersChanged,
  peopleEntitled,
  recordsById,
  unownedIdentities,
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
export { fsckRights } from './rights.fsck.ts'
export { confirmChannel, confirmIssuer, confirmLoginProvider, leftRoads, type Road, roadsMadeBy } from './road.ts'
export { type BindInput, bindRole, unbindRole } from './role.actions.ts'
export { type Explained, explainPolicies } from './role.explain.ts'
export { listBindings, type RoleHolder, type RoleView, rolesIn, rolesOf } from './role.list.ts'
export type { Binding, SubjectKind } from './role.model.ts'
export { waitingOffboardings } from './scim/wait.ts'
export { lostWays } from './scim/way.ts'
export { type NewSession, SESSION_LIMITS, type SessionHolder, type SessionView } from './session.model.ts'
export { authenticateSession, beginHandSession, endSession, endSessionsOf, readHandToken, readSessions, readToken } from './session.ts'
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
export { changeTeam, type TeamChange } from './team.change.ts'
export { type EmptyTeam, emptyTeams } from './team.empty.ts'
export { type AlsoOwned, removeTeamByHand, renameTeamByHand } from './team.end.ts'
export { createTeam, readTeam, readTeams, type TeamDetail, type TeamPage } from './team.list.ts'
export type { Members, Team, TeamFields } from './team.model.ts'
export {
  createToken,
  type MadeToken,
  type RevokeInput,
  type RotateInput,
  revokeToken,
  revokeTokensOf,
  rotateToken,
  type TokenParts,
} from './token.actions.ts'
export { proveDeadTokens, revokeOrphanTokens, runTokenEnds } from './token.death.ts'
export { readTokens, type TokenMatter, type TokenQuery, tokenMatters, tokensBeyondMakers, tokensOnRecord } from './token.list.ts'
export {
  TOKEN_MAX_SECONDS,
  TOKEN_NAME_CHARS,
  TOKEN_OVERLAP_MAX_SECONDS,
  type TokenInput,
  type TokenState,
  type TokenView,
} from './token.model.ts'
export { TokenUses } from './token.uses.ts'
export { authenticate, ensureAdminToken } from './tokens.ts'
export type { Presented } from './workload.dpop.ts'
export { JWT_MAX_CHARS } from './workload.jwt.ts'
