export { ACTIONS, type Action, type ActionFacts, ALWAYS, FAMILIES, type Family, factsOf, isAction } from './actions.ts'
export {
  ActionName,
  asPrincipal,
  type CaseResult,
  type Expectation,
  type Outcome,
  outcomeOf,
  readCases,
  runCases,
  WrittenPrincipal,
  WrittenResource,
} from './cases.ts'
export { schemaText } from './cedar.ts'
export { type Allowed, type Decision, inForce, isMine, onTrial, Policies, type Reason, type StepUp, StepUpRequired } from './engine.ts'
export {
  FORCED_REASON_CHARS,
  type Grip,
  gripsOf,
  type Hand,
  type Holder,
  holdersOf,
  holdsBoth,
  placeOf,
  teamsNamed,
} from './hands.ts'
export { HeldByTexts } from './held.ts'
export {
  type Aal,
  ATTESTATIONS,
  type Attestation,
  type Holding,
  PRINCIPAL_KINDS,
  type Principal,
  type PrincipalKind,
  RESOURCE_TYPES,
  type Resource,
  type ResourceType,
} from './model.ts'
export { type Named, peopleNamed } from './named.ts'
export { decideApart, type Lane, readAndAsk, readPoliciesApart } from './read.apart.ts'
export type { Ask } from './read.wire.ts'
export type { Policy, PolicyFault, PolicyFile } from './set.model.ts'
export {
  defaultFiles,
  defaultPolicies,
  knownPolicies,
  NO_POLICIES,
  overlay,
  POLICY_SET_MAX_BYTES,
  type PolicySet,
  readPolicies,
  textFaults,
} from './set.ts'
