import { createHash } from 'node:crypto'
import { type Json, RekeyError } from '../kernel/index.ts'
import type { BundleFilter, BundleHead } from './bundle.model.ts'
import { canonicalJson } from './canonical.ts'
import { LOGS } from './event.ts'
import { openNote, type Signer, signNote, type VerifierKey } from './note.ts'

/**
 * Names the records and the drawing of the page, which verification repeats to the byte. Whoever changes what `renderReport` writes
 * raises the number and keeps the old drawing for the old number, or bundles already handed out would no longer verify; a
 * published bundle in `test/vectors/` holds this in place. Number 1 had no signature over its head and is refused.
 */
export const BUNDLE_FORMAT = 'rekey-evidence-bundle/2'

/**
 * The signed note over a head (C2SP signed-note): the origin line `<key name>/bundle`, the SHA-256 of the head's canonical JSON in
 * base64, and when it was exported. No log is called `bundle` and a checkpoint has another line between, so neither passes for the other.
 */
export function signHead(head: BundleHead, signer: Signer): string {
  return signNote(textOf(signer.name, head), signer)
}

/** Throws `evidence_damaged`, saying what is wrong, unless the note is signed by `key`, and by nobody else, over exactly this head. */
export function checkHead(head: BundleHead, note: string, key: VerifierKey): void {
  const { text, others } = openNote(note, key)
  if (others > 0) throw new RekeyError('evidence_damaged', 'The note carries signatures that cannot be checked.')
  if (text === textOf(key.name, head)) return
  const what = text.startsWith(`${key.name}/bundle\n`) ? 'What the bundle says of itself was changed.' : 'The note is not that of a bundle.'
  throw new RekeyError('evidence_damaged', what)
}

/** The members of the first record that the note covers. */
export function headRecord({ key, exportedAt, filter, logs }: BundleHead): { readonly [key: string]: Json } {
  const told = Object.fromEntries(LOGS.map((log) => [log, { ...logs[log] }]))
  return { record: 'bundle', format: BUNDLE_FORMAT, key, exportedAt, filter: { ...filter }, logs: told }
}

/** True if only some events were asked for. */
export function isChosen({ credential, since }: BundleFilter): boolean {
  return credential !== null || since !== null
}

function textOf(keyName: string, head: BundleHead): string {
  const digest = createHash('sha256')
    .update(canonicalJson(headRecord(head)))
    .digest('base64')
  return `${keyName}/bundle\n${digest}\nat ${head.exportedAt}\n`
}
