import type { EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, RekeyError } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { noteCame } from './code.store.ts'
import { identityEvent, type OwnerInput } from './lifecycle.owners.ts'
import type { IdentityKind } from './model.ts'
import {
  checkEntitlements,
  checkExternalIds,
  checkLabels,
  checkText,
  type Entitlement,
  type ExternalId,
  type Ial,
  type Labels,
  type RecoveryClass,
  refuse,
} from './record.model.ts'
import type { Row } from './record.store.ts'
import * as rows from './record.store.ts'
import { lockNesting } from './team.store.ts'

/** An identity that joins. A person needs no owner, purpose or environment; everything else does. */
export interface JoinFields {
  readonly name: string
  readonly kind: IdentityKind
  /** A person's default: the manager, else the person. */
  readonly owner?: OwnerInput
  readonly purpose?: string
  readonly environment?: string
  readonly tenancy?: string
  /** Who says that it exists: `api`, `scim:<provider>`, …. */
  readonly source: string
  readonly externalIds?: readonly ExternalId[]
  readonly labels?: Labels
  readonly entitlements?: readonly Entitlement[]
  /** Identity id of a person's manager. */
  readonly manager?: string | null
  readonly ial?: Ial | null
  readonly recoveryClass?: RecoveryOverride | null
}

/** A recovery class that is not the derived one, and why. */
export interface RecoveryOverride {
  readonly class: RecoveryClass
  readonly reason: string
}

/** Checks what stands in tables of its own. */
export function checkExtra({
  labels = {},
  entitlements = [],
  externalIds = [],
}: Pick<JoinFields, 'labels' | 'entitlements' | 'externalIds'>) {
  return {
    labels: checkLabels(labels),
    entitlements: checkEntitlements(entitlements),
    externalIds: checkExternalIds(externalIds),
  }
}

/** A person's manager, who is a person and not themself. Throws `bad_input`, `not_found`. */
export async function checkManager(tx: Tx, kind: IdentityKind, id: string, manager: string | null): Promise<string | null> {
  if (manager === null) return null
  if (kind !== 'human') refuse('Only a person has a manager.')
  if (manager === id) refuse('Nobody is their own manager.')
  const person = await rows.personById(tx, manager)
  if (person === null)
    throw new RekeyError('not_found', 'The manager is no person who is there: only a person who has not left for good is one.')
  return person.id
}

/** Throws `conflict` if a person would be above their own manager. As with nestings of teams, both halves of a circle see one another. */
export async function refuseManagerCircle(tx: Tx, id: string, manager: string): Promise<void> {
  await lockNesting(tx)
  if (!(await rows.isManagedBy(tx, manager, id))) return
  throw new RekeyError('conflict', 'Nobody is the manager of their own manager, directly or through others.')
}

export function classColumns(override: RecoveryOverride | null): Pick<Row, 'recovery_class' | 'recovery_class_reason'> {
  if (override === null) return { recovery_class: null, recovery_class_reason: null }
  return { recovery_class: override.class, recovery_class_reason: checkText('reason of the recovery class', override.reason, 1000) }
}

export function ialColumns(kind: IdentityKind, ial: Ial | null): Pick<Row, 'ial' | 'ial_source' | 'ial_at'> {
  if (ial === null) return { ial: null, ial_source: null, ial_at: null }
  if (kind !== 'human') refuse("Identity assurance is a person's.")
  return { ial: ial.level, ial_source: checkText('source of the identity assurance', ial.source), ial_at: ial.at }
}

/** Throws `conflict` if another identity has a name that folds alike. How that one is written is not said: the asker may not read it. */
export async function refuseTaken(tx: Tx, name: string, exceptId: string | null): Promise<void> {
  if ((await rows.nameTaken(tx, name, exceptId)) !== null) nameTaken(name)
}

export function nameTaken(name: string): never {
  throw new RekeyError('conflict', `There is an identity called ${name} already, perhaps in another spelling.`, {
    hint: 'Names stay taken after offboarding, and differ in more than upper and lower case.',
  })
}

export async function keepExternalIds(tx: Tx, ctx: Ctx, id: string, externalIds: readonly ExternalId[]): Promise<void> {
  if (!(await rows.addExternalIds(tx, id, externalIds, ctx.behind))) {
    throw new RekeyError('conflict', 'Another identity has one of these external ids.')
  }
  if (externalIds.length > 0) await noteCame(tx, id)
}

/** Items in one event: it stays below the bound of an event's size, however long they are. */
const ITEMS_AN_EVENT = 15

/** What of the labels differs, in as many events as it needs. */
export function labelEvents(row: Pick<Row, 'id' | 'name'>, before: Labels, after: Labels): EvidenceEvent[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((key) => before[key] !== after[key]).sort()
  return chunks(keys).map((some) =>
    identityEvent('identity.labels_changed', row, { labels: Object.fromEntries(some.map((key) => [key, after[key] ?? null])) }),
  )
}

/** The entitlements that came and went, in as many events as they need. */
export function entitlementEvents(
  row: Pick<Row, 'id' | 'name'>,
  added: readonly Entitlement[],
  removed: readonly Entitlement[],
): EvidenceEvent[] {
  const plain = ({ system, account, role }: Entitlement) => ({ system, account, role })
  const one = (change: 'added' | 'removed') => (some: Entitlement[]) =>
    identityEvent('identity.entitlements_changed', row, { [change]: some.map(plain) })
  return [...chunks(added).map(one('added')), ...chunks(removed).map(one('removed'))]
}

function chunks<T>(items: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / ITEMS_AN_EVENT) }, (_, at) =>
    items.slice(at * ITEMS_AN_EVENT, (at + 1) * ITEMS_AN_EVENT),
  )
}
