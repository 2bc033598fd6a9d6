import { type Json, RekeyError } from '../kernel/index.ts'
import { headRecord } from './bundle.head.ts'
import type { BundleContent } from './bundle.model.ts'
import { canonicalJson } from './canonical.ts'
import { LOGS, type LogName } from './event.ts'
import { renderReport } from './report.ts'

/** Most bytes of a bundle. Past that an export must be narrowed by credential or time, and a verifier does not read on. */
export const BUNDLE_MAX_BYTES = 256 * 1024 * 1024

/** How every bundle begins. The machine part comes first, behind bytes that never change, so that damage to its frame can be located. */
export const BUNDLE_HEAD = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Rekey evidence</title>
<script type="application/json" id="rekey-evidence">
`

/** What stands between the machine part and the page. */
export const BUNDLE_MIDDLE = '\n</script>\n'

/**
 * The bundle, one file: an HTML page that carries its own evidence. The machine part is a JSON list with one record a line
 * (the bundle, then for each log its checkpoints and its events), each record in canonical JSON with `<` written as `\u003c`; so
 * any JSON reader takes the whole, and a damaged byte is located to its record. All of the page is derived from the machine part:
 * the same content always gives the same bytes. Throws `too_large` past `BUNDLE_MAX_BYTES`.
 */
export function encodeBundle(content: BundleContent): string {
  const lines = toRecords(content).map(encodeRecord)
  const text = `${BUNDLE_HEAD}[\n${lines.join(',\n')}\n]${BUNDLE_MIDDLE}${renderReport(content)}`
  if (Buffer.byteLength(text) > BUNDLE_MAX_BYTES) throw tooLarge()
  return text
}

/** What is thrown for a bundle past `BUNDLE_MAX_BYTES`. */
export function tooLarge(): RekeyError {
  return new RekeyError('too_large', 'The evidence bundle would be larger than 256 MiB.', {
    hint: 'Export one credential, or since a later time.',
  })
}

/** One record as a line of the machine part, without the comma. */
export function encodeRecord(record: Json): string {
  // In JSON `<` can only stand inside a text, where its escape means the same; so nothing in it can end the script block.
  return canonicalJson(record).replaceAll('<', '\\u003c')
}

function toRecords({ head, note, logs }: BundleContent): Json[] {
  const ofLog = (log: LogName): Json[] => [
    ...logs[log].checkpoints.map(({ note, proof }): Json => ({ record: 'checkpoint', log, note, proof })),
    ...logs[log].events.map(({ index, event, proof }): Json => ({ record: 'event', log, index, event: { ...event }, proof })),
  ]
  return [{ ...headRecord(head), note }, ...LOGS.flatMap(ofLog)]
}
