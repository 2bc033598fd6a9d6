import type { Strategy } from '../connectors/contract.ts'
import type { EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, mapInTurns, newId, type Secret } from '../kernel/index.ts'
import { fingerprint, seal } from '../seal/index.ts'
import type { Tx } from '../store/index.ts'
import { declaredEvent } from './inventory.events.ts'
import type { NewCredential, NewVersion } from './inventory.store.ts'
import type { RotationParts } from './rotation.run.ts'
import { dataKeyBound, versionBound } from './targets.ts'

type Parts = Pick<RotationParts, 'keyring' | 'fingerprintKey'>

/** A credential to be stored, with its value in use; null: not known, so that its first rotation is a takeover. */
export interface Wanted extends Omit<NewCredential, 'id' | 'kek' | 'wrapped'> {
  readonly value: Secret | null
}

/** Rows and evidence of credentials and of the versions in use. */
export interface Declared {
  readonly credentials: readonly NewCredential[]
  readonly versions: readonly NewVersion[]
  readonly events: readonly EvidenceEvent[]
}

/** Makes ids and data keys, and seals what is known. `kekId`: pinned in the same transaction (`Keyring.pin`). Nothing is written. */
export async function declare(parts: Parts, ctx: Ctx, kekId: string, wanted: readonly Wanted[]): Promise<Declared> {
  const made = await mapInTurns(ctx.clock, wanted, ({ value, ...fields }) => {
    const id = newId(ctx.clock.now().getTime())
    const { key, wrapped } = parts.keyring.newDataKey(kekId, dataKeyBound(id))
    const credential: NewCredential = { ...fields, id, kek: kekId, wrapped }
    const version = versionOf(parts, ctx, { credential: id, number: 1, account: fields.accounts[0] ?? '' }, key, value)
    return { credential, version, events: [...rootEvents(credential), declaredEvent(fields.name, version)] }
  })
  return {
    credentials: made.map(({ credential }) => credential),
    versions: made.map(({ version }) => version),
    events: made.flatMap(({ events }) => events),
  }
}

/** The next declared version of a credential that is stored already. Throws what unwrapping its data key throws. */
export async function declareNext(
  parts: Parts,
  ctx: Ctx,
  tx: Tx,
  stored: { readonly kek_id: string; readonly wrapped_key: Uint8Array },
  next: Pick<NewVersion, 'credential' | 'number' | 'account'> & { readonly name: string; readonly value: Secret },
): Promise<{ readonly version: NewVersion; readonly event: EvidenceEvent }> {
  const { name, value, ...place } = next
  const key = await parts.keyring.unwrap(tx, stored.kek_id, stored.wrapped_key, dataKeyBound(next.credential))
  const version = versionOf(parts, ctx, place, key, value)
  return { version, event: declaredEvent(name, version) }
}

function versionOf(
  parts: Parts,
  ctx: Ctx,
  place: Pick<NewVersion, 'credential' | 'number' | 'account'>,
  key: Secret,
  value: Secret | null,
): NewVersion {
  const id = newId(ctx.clock.now().getTime())
  const sealed = value && seal(key, value, versionBound(place.credential, id))
  return { id, ...place, sealed, fingerprint: value && fingerprint(parts.fingerprintKey, value) }
}

/** A root credential comes with its system and is no item of the file, so no change tells of it. */
function rootEvents({ id, name, system, root, accounts, strategy }: NewCredential): EvidenceEvent[] {
  if (!root) return []
  const data: { root: boolean; accounts: string[]; strategy: Strategy } = { root: true, accounts: [...accounts], strategy }
  return [{ log: 'credential', type: 'credential.added', subject: name, links: { credential: id, system }, data }]
}
