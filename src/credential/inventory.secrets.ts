import { type Ctx, LIMITS, newId, RekeyError, type Secret } from '../kernel/index.ts'
import type { Change } from './fleet.diff.ts'
import type { Fleet } from './fleet.model.ts'
import type { NeededSecret, Present } from './inventory.plan.ts'
import { type SystemRow, systemColumns } from './inventory.store.ts'

/** Throws `bad_input` naming the secret, never its value, if one is missing, too long, or no text on one line. */
export function checkSecrets(needed: readonly NeededSecret[], secrets: ReadonlyMap<string, Secret>): void {
  for (const { for: name } of needed) {
    const secret = secrets.get(name)
    if (secret === undefined) throw new RekeyError('bad_input', `The secret for ${name} is missing.`)
    const fault = faultOfSecret(secret)
    if (fault !== null) throw new RekeyError('bad_input', `The secret for ${name} ${fault}.`)
  }
}

/** What keeps a declared value from being used, as the end of a sentence; null if nothing does. */
export function faultOfSecret(secret: Secret): string | null {
  if (secret.reveal((bytes) => bytes.length) > LIMITS.secretBytes) return `is longer than ${LIMITS.secretBytes} bytes`
  try {
    return secret.revealText((text) => (/[\0\r\n]/.test(text) ? 'holds a line break or a zero byte' : null))
  } catch {
    return 'is not UTF-8 text'
  }
}

/** A system that is new, has changed, or whose authority has new text. */
export interface SystemToWrite {
  readonly row: SystemRow
  readonly isNew: boolean
  /** Only the text of the authority is another; the diff does not show that. */
  readonly renewed: boolean
}

/** The systems to write, with the text of their authorities. Throws `bad_input` naming an authority that is missing or no certificate. */
export function systemsToWrite(
  ctx: Ctx,
  present: Present,
  changes: readonly Change[],
  fleet: Fleet,
  authorities: ReadonlyMap<string, string>,
): SystemToWrite[] {
  const changed = new Set(changes.flatMap(({ kind, of, name }) => (of === 'system' && kind !== 'missing-from-file' ? [name] : [])))
  return fleet.systems.flatMap((system) => {
    const stored = present.systems.get(system.name)
    const ca = authorityOf(system.address.caFile, stored, authorities)
    const renewed = stored !== undefined && stored.ca_file === system.address.caFile && stored.ca !== ca
    if (!changed.has(system.name) && !renewed) return []
    const id = stored?.id ?? newId(ctx.clock.now().getTime())
    return [{ row: systemColumns(id, system, ca), isNew: stored === undefined, renewed }]
  })
}

function authorityOf(path: string | null, stored: SystemRow | undefined, authorities: ReadonlyMap<string, string>): string | null {
  if (path === null) return null
  const text = authorities.get(path) ?? (stored?.ca_file === path ? stored.ca : null)
  if (text === null) throw new RekeyError('bad_input', `The certificate authority is missing: ${path}`)
  // It is stored and shown as it is: a private key that somebody left in the file must not be.
  if (!text.includes('-----BEGIN CERTIFICATE-----') || text.includes('PRIVATE KEY-----')) {
    throw new RekeyError('bad_input', `Not a PEM file of certificates only: ${path}`)
  }
  return text
}
