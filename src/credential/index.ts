export { giveUpItem, retryClosure, tellLeaked } from './closure.actions.ts'
export { endCredential } from './closure.end.ts'
export {
  type ClosureFilter,
  type ClosureItemView,
  type ClosureView,
  closureById,
  closureItems,
  listClosures,
} from './closure.list.ts'
export { CLOSURE_STATES, GOALS, ITEM_STATES, RELATIONS } from './closure.model.ts'
export { type PlanView, planClosure } from './closure.preview.ts'
export type { ClosureParts, StopProofs } from './closure.run.ts'
export { Closer } from './closure.worker.ts'
export { answerChallenge, type Challenge, makeChallenge } from './consumer.ts'
export {
  declareException,
  EXCEPTION_KINDS,
  type ExceptionInput,
  type ExceptionView,
  endException,
  listExceptions,
  ON_MISSED,
  ownedByTeam,
} from './exception.ts'
export { type FindingFilter, listFindings } from './finding.list.ts'
export { FINDING_KINDS, type Finding } from './finding.model.ts'
export type { FleetOptions } from './fleet.check.ts'
export { type Change, renderDiff } from './fleet.diff.ts'
export type { Fleet, SecretSource } from './fleet.model.ts'
export { decodeFleet } from './fleet.parse.ts'
export { fsckCredentials } from './fsck.ts'
export { type Applied, type ApplyInput, applyInventory, diffInventory, type InventoryParts } from './inventory.actions.ts'
export { type Decommissioned, type DecommissionInput, decommissionSystem } from './inventory.decommission.ts'
export {
  type ConsumerView,
  type CredentialFilter,
  countInventory,
  discoverAccounts,
  findCredential,
  type InventoryCounts,
  listConsumers,
  listCredentials,
  listSystems,
  listVersions,
  systemWarnings,
  unclaimedSince,
} from './inventory.list.ts'
export type { FleetText, InventoryDiff, NeededSecret } from './inventory.plan.ts'
export { type RootSet, setRoot } from './inventory.root.ts'
export { faultOfSecret } from './inventory.secrets.ts'
export type { CredentialView, RotationView, SystemView, VersionView } from './model.ts'
export { listMovers, type Mover, type MoverCredential, settleMover } from './mover.list.ts'
export { requireSystem, resourcesByName, resourcesOfBatch } from './resources.ts'
export { doReview, listReviews, type ReviewView } from './review.ts'
export { rewrapCredentials } from './rewrap.ts'
export {
  type Resolution,
  resolveRotation,
  retryRotation,
  type Skipped,
  type Started,
  type StartOptions,
  startRotations,
  undoRotation,
} from './rotation.actions.ts'
export { type Intervention, type RotationDetail, withInterventions } from './rotation.interventions.ts'
export {
  type BatchCount,
  countBatches,
  findRotation,
  finishedOfBatches,
  isFinished,
  listRotations,
  type RotationFigures,
  type RotationFilter,
  rotationFigures,
  type Selection,
} from './rotation.list.ts'
export { STATES, type State } from './rotation.model.ts'
export type { RotationParts } from './rotation.run.ts'
export { type AcceptInput, acceptServer, type ServerAccepted } from './server.accept.ts'
export { Targets } from './targets.ts'
export { listUsable, PROBES_MAX, probeUsable, type UsableFilter, type UsableView } from './usable.ts'
export { NUDGE } from './worker.channel.ts'
export { makeMoves, Worker } from './worker.ts'
