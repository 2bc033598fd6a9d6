export { AddressGuard } from './addresses.ts'
export { answerChallenge, type Challenge, makeChallenge } from './consumer.ts'
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
} from './inventory.list.ts'
export type { FleetText, InventoryDiff, NeededSecret } from './inventory.plan.ts'
export { type RootSet, setRoot } from './inventory.root.ts'
export { faultOfSecret } from './inventory.secrets.ts'
export type { CredentialView, RotationView, SystemView, VersionView } from './model.ts'
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
export { Targets } from './targets.ts'
export { NUDGE } from './worker.channel.ts'
export { makeMoves, Worker } from './worker.ts'
