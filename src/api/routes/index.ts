import type { Route } from '../route.ts'
import { listApprovalRulesRoute } from './approval-rules/list-rules.ts'
import { putRuleRoute } from './approval-rules/put-rule.ts'
import { removeRuleRoute } from './approval-rules/remove-rule.ts'
import { approveApprovalRoute } from './approvals/approve-approval.ts'
import { bypassApprovalRoute } from './approvals/bypass-approval.ts'
import { listApprovalsRoute } from './approvals/list-approvals.ts'
import { rejectApprovalRoute } from './approvals/reject-approval.ts'
import { showApprovalRoute } from './approvals/show-approval.ts'
import { takeBackApprovalRoute } from './approvals/take-back-approval.ts'
import { withdrawApprovalRoute } from './approvals/withdraw-approval.ts'
import { streamEvents } from './batches/stream-events.ts'
import { addChannelRoute } from './channels/add-channel.ts'
import { confirmChannelRoute } from './channels/confirm-channel.ts'
import { listChannelsRoute } from './channels/list-channels.ts'
import { listDeliveriesRoute } from './channels/list-deliveries.ts'
import { removeChannelRoute } from './channels/remove-channel.ts'
import { testChannelRoute } from './channels/test-channel.ts'
import { listClosuresRoute } from './closures/list-closures.ts'
import { listItemsRoute } from './closures/list-items.ts'
import { planClosureRoute } from './closures/plan-closure.ts'
import { resolveClosureRoute } from './closures/resolve-closure.ts'
import { retryClosureRoute } from './closures/retry-closure.ts'
import { showClosure } from './closures/show-closure.ts'
import { answerChallengeRoute } from './consumers/answer-challenge.ts'
import { makeChallengeRoute } from './consumers/make-challenge.ts'
import { endCredentialRoute } from './credentials/end-credential.ts'
import { listCredentialsRoute } from './credentials/list-credentials.ts'
import { showCredential } from './credentials/show-credential.ts'
import { exportBundleRoute } from './evidence/export-bundle.ts'
import { showKey } from './evidence/show-key.ts'
import { declareExceptionRoute } from './exceptions/declare-exception.ts'
import { endExceptionRoute } from './exceptions/end-exception.ts'
import { listExceptionsRoute } from './exceptions/list-exceptions.ts'
import { listFindingsRoute } from './findings/list-findings.ts'
import { applyFleetRoute } from './fleet/apply-fleet.ts'
import { diffFleetRoute } from './fleet/diff-fleet.ts'
import { joinIdentityRoute } from './identities/join-identity.ts'
import { listIdentityEvents } from './identities/list-events.ts'
import { listIdentitiesRoute } from './identities/list-identities.ts'
import { listSamePersonRoute } from './identities/list-same-person.ts'
import { moveIdentityRoute } from './identities/move-identity.ts'
import { offboardIdentityRoute } from './identities/offboard-identity.ts'
import { resumeIdentityRoute } from './identities/resume-identity.ts'
import { saySamePersonRoute } from './identities/say-same-person.ts'
import { showIdentity } from './identities/show-identity.ts'
import { suspendIdentityRoute } from './identities/suspend-identity.ts'
import { addIssuerRoute } from './issuers/add-issuer.ts'
import { confirmIssuerRoute } from './issuers/confirm-issuer.ts'
import { listIssuersRoute } from './issuers/list-issuers.ts'
import { listRulesRoute } from './issuers/list-rules.ts'
import { mapIssuerRoute } from './issuers/map-issuer.ts'
import { removeIssuerRoute } from './issuers/remove-issuer.ts'
import { unmapIssuerRoute } from './issuers/unmap-issuer.ts'
import { listKeksRoute } from './keks/list-keks.ts'
import { rotateKekRoute } from './keks/rotate-kek.ts'
import { addLoginProviderRoute } from './login/add-provider.ts'
import { beginCodeRoute } from './login/begin-code.ts'
import { beginOidcRoute } from './login/begin-oidc.ts'
import { beginPasskeyRoute } from './login/begin-passkey.ts'
import { bootstrapRoute } from './login/bootstrap.ts'
import { confirmLoginProviderRoute } from './login/confirm-provider.ts'
import { finishCodeRoute } from './login/finish-code.ts'
import { finishOidcRoute } from './login/finish-oidc.ts'
import { finishPasskeyRoute } from './login/finish-passkey.ts'
import { linkPersonRoute } from './login/link-person.ts'
import { listLoginProvidersRoute } from './login/list-providers.ts'
import { removeLoginProviderRoute } from './login/remove-provider.ts'
import { showWaysRoute } from './login/show-ways.ts'
import { unlinkPersonRoute } from './login/unlink-person.ts'
import { listMoversRoute } from './movers/list-movers.ts'
import { settleMoverRoute } from './movers/settle-mover.ts'
import { beginEnrolmentRoute } from './passkeys/begin-enrolment.ts'
import { finishEnrolmentRoute } from './passkeys/finish-enrolment.ts'
import { listPasskeysRoute } from './passkeys/list-passkeys.ts'
import { removePasskeyRoute } from './passkeys/remove-passkey.ts'
import { approvePoliciesRoute } from './policies/approve-policies.ts'
import { bypassPoliciesRoute } from './policies/bypass-policies.ts'
import { diffPoliciesRoute } from './policies/diff-policies.ts'
import { explainPoliciesRoute } from './policies/explain-policies.ts'
import { listPoliciesRoute } from './policies/list-policies.ts'
import { proposePoliciesRoute } from './policies/propose-policies.ts'
import { showPolicies } from './policies/show-policies.ts'
import { getHealthz } from './process/get-healthz.ts'
import { getMetrics } from './process/get-metrics.ts'
import { getOpenapi } from './process/get-openapi.ts'
import { getReadyz } from './process/get-readyz.ts'
import { addProviderRoute } from './providers/add-provider.ts'
import { listProvidersRoute } from './providers/list-providers.ts'
import { revokeProviderRoute } from './providers/revoke-provider.ts'
import { rotateTokenRoute } from './providers/rotate-token.ts'
import { doReviewRoute } from './reviews/do-review.ts'
import { listReviewsRoute } from './reviews/list-reviews.ts'
import { bindRoleRoute } from './roles/bind-role.ts'
import { listBindingsRoute } from './roles/list-bindings.ts'
import { listRolesRoute } from './roles/list-roles.ts'
import { unbindRoleRoute } from './roles/unbind-role.ts'
import { listRotationsRoute } from './rotations/list-rotations.ts'
import { resolveRotationRoute } from './rotations/resolve-rotation.ts'
import { retryRotationRoute } from './rotations/retry-rotation.ts'
import { showRotation } from './rotations/show-rotation.ts'
import { startRotationsRoute } from './rotations/start-rotations.ts'
import { undoRotationRoute } from './rotations/undo-rotation.ts'
import { beginSessionRoute } from './sessions/begin-session.ts'
import { endSessionRoute } from './sessions/end-session.ts'
import { listSessionsRoute } from './sessions/list-sessions.ts'
import { logOutRoute } from './sessions/log-out.ts'
import { showSessionRoute } from './sessions/show-session.ts'
import { showStatus } from './status/show-status.ts'
import { beginStepUpRoute } from './step-up/begin-step-up.ts'
import { finishStepUpRoute } from './step-up/finish-step-up.ts'
import { acceptServerRoute } from './systems/accept-server.ts'
import { decommissionSystemRoute } from './systems/decommission-system.ts'
import { discoverAccountsRoute } from './systems/discover-accounts.ts'
import { listSystemsRoute } from './systems/list-systems.ts'
import { rotateRoot } from './systems/rotate-root.ts'
import { setRootRoute } from './systems/set-root.ts'
import { changeMembersRoute } from './teams/change-members.ts'
import { createTeamRoute } from './teams/create-team.ts'
import { listTeamsRoute } from './teams/list-teams.ts'
import { removeTeamRoute } from './teams/remove-team.ts'
import { renameTeamRoute } from './teams/rename-team.ts'
import { showTeam } from './teams/show-team.ts'
import { createTokenRoute } from './tokens/create-token.ts'
import { listTokensRoute } from './tokens/list-tokens.ts'
import { revokeTokenRoute } from './tokens/revoke-token.ts'
import { rotateApiTokenRoute } from './tokens/rotate-token.ts'
import { listUsableRoute } from './usable/list-usable.ts'
import { probeUsableRoute } from './usable/probe-usable.ts'

/** Every route there is. A file under `routes/` that declares one and is missing here fails a test. */
export const ROUTES: readonly Route[] = [
  listApprovalRulesRoute,
  putRuleRoute,
  removeRuleRoute,
  approveApprovalRoute,
  bypassApprovalRoute,
  listApprovalsRoute,
  rejectApprovalRoute,
  showApprovalRoute,
  takeBackApprovalRoute,
  withdrawApprovalRoute,
  streamEvents,
  addChannelRoute,
  listChannelsRoute,
  listDeliveriesRoute,
  removeChannelRoute,
  confirmChannelRoute,
  testChannelRoute,
  answerChallengeRoute,
  makeChallengeRoute,
  listCredentialsRoute,
  showCredential,
  endCredentialRoute,
  exportBundleRoute,
  showKey,
  applyFleetRoute,
  diffFleetRoute,
  listIdentityEvents,
  joinIdentityRoute,
  listIdentitiesRoute,
  moveIdentityRoute,
  listSamePersonRoute,
  saySamePersonRoute,
  offboardIdentityRoute,
  resumeIdentityRoute,
  showIdentity,
  suspendIdentityRoute,
  listClosuresRoute,
  listItemsRoute,
  planClosureRoute,
  resolveClosureRoute,
  retryClosureRoute,
  showClosure,
  listUsableRoute,
  probeUsableRoute,
  listFindingsRoute,
  listExceptionsRoute,
  declareExceptionRoute,
  endExceptionRoute,
  listReviewsRoute,
  doReviewRoute,
  listKeksRoute,
  rotateKekRoute,
  getHealthz,
  getMetrics,
  getOpenapi,
  getReadyz,
  addProviderRoute,
  listProvidersRoute,
  revokeProviderRoute,
  rotateTokenRoute,
  listRotationsRoute,
  resolveRotationRoute,
  retryRotationRoute,
  showRotation,
  startRotationsRoute,
  undoRotationRoute,
  showStatus,
  discoverAccountsRoute,
  listSystemsRoute,
  rotateRoot,
  setRootRoute,
  acceptServerRoute,
  decommissionSystemRoute,
  changeMembersRoute,
  createTeamRoute,
  listTeamsRoute,
  renameTeamRoute,
  removeTeamRoute,
  showTeam,
  listMoversRoute,
  settleMoverRoute,
  approvePoliciesRoute,
  bypassPoliciesRoute,
  diffPoliciesRoute,
  explainPoliciesRoute,
  listPoliciesRoute,
  proposePoliciesRoute,
  showPolicies,
  bindRoleRoute,
  listBindingsRoute,
  listRolesRoute,
  unbindRoleRoute,
  addLoginProviderRoute,
  beginOidcRoute,
  finishOidcRoute,
  linkPersonRoute,
  unlinkPersonRoute,
  listLoginProvidersRoute,
  removeLoginProviderRoute,
  confirmLoginProviderRoute,
  showWaysRoute,
  endSessionRoute,
  listSessionsRoute,
  beginSessionRoute,
  logOutRoute,
  showSessionRoute,
  beginCodeRoute,
  beginPasskeyRoute,
  bootstrapRoute,
  finishCodeRoute,
  finishPasskeyRoute,
  beginEnrolmentRoute,
  finishEnrolmentRoute,
  listPasskeysRoute,
  removePasskeyRoute,
  beginStepUpRoute,
  finishStepUpRoute,
  addIssuerRoute,
  listIssuersRoute,
  listRulesRoute,
  mapIssuerRoute,
  removeIssuerRoute,
  confirmIssuerRoute,
  unmapIssuerRoute,
  createTokenRoute,
  listTokensRoute,
  revokeTokenRoute,
  rotateApiTokenRoute,
]
