/**
 * The record: what happened, in the transaction in which it happened; two RFC 6962 logs over it; signed checkpoints; proofs that
 * stand without us. `append` writes, `sequence` publishes, `exportBundle` hands out, `verifyBundle` and `fsck` believe nothing.
 */
export { append } from './append.ts'
export type { Finding } from './bundle.read.ts'
export { BUNDLE_MAX_BYTES } from './bundle.ts'
export { type BundleVerdict, type LogVerdict, verifyBundle } from './bundle.verify.ts'
export { canonicalJson, parseCanonicalJson } from './canonical.ts'
export { type Checkpoint, openCheckpoint } from './checkpoint.ts'
export { EVENT_MAX_BYTES, type EventBody, type EvidenceEvent, LOGS, type LogName } from './event.ts'
export { type LogFigures, logFigures } from './figures.ts'
export { fsck } from './fsck.ts'
export { eventsLinkedTo, type LinkedTo } from './linked.ts'
export { type Hash, verifyConsistency, verifyInclusion } from './merkle.ts'
export { formatVerifierKey, newSigningSeed, parseVerifierKey, type Signer, signerFromSeed, type VerifierKey } from './note.ts'
export { consistency, type ExportOptions, exportBundle, inclusion, publishedKey } from './prove.ts'
export { eachEvent } from './read.ts'
export { SEQUENCE_BATCH, sequence } from './sequence.ts'
export { type TimelineEvent, type TimelineOf, timeline } from './timeline.ts'
export { appendFrom, sealEvents } from './within.ts'
