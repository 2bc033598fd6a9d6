import type { EvidenceEvent } from '../evidence/index.ts'
import type { Json } from '../kernel/index.ts'
import type { Change, FieldChange } from './fleet.diff.ts'

/** Most consumer names in one event; an event has a bounded size. */
const NAMES_MAX = 50

/** The ids that the events of a change name. */
export interface Ids {
  readonly system: (name: string) => string
  readonly credential: (name: string) => string
}

/**
 * The events of added and changed systems and credentials, one for each, in the order of the changes. A consumer is told with its
 * new credential, or as a change of the one it belongs to. Identities have theirs in their own log.
 */
export function eventsOf(changes: readonly Change[], ids: Ids): EvidenceEvent[] {
  const added = new Set(changes.filter(({ kind, of }) => kind === 'add' && of === 'credential').map(({ name }) => name))
  const consumers = Map.groupBy(
    changes.filter(({ of }) => of === 'consumer'),
    ({ credential }) => credential,
  )
  return changes.flatMap((change): EvidenceEvent[] => {
    const { kind, of, name, credential, fields } = change
    if (kind === 'missing-from-file' || of === 'identity') return []
    if (of === 'system') return [eventOf('system', name, { system: ids.system(name) }, change, {})]
    if (of === 'consumer') {
      if (credential === null || added.has(credential)) return []
      return [consumerEvent(credential, ids.credential(credential), name, kind === 'add' ? 'added' : 'changed', fields)]
    }
    const names = (consumers.get(name) ?? []).map((consumer) => consumer.name)
    const more: Record<string, Json> = kind === 'add' ? { consumers: names.slice(0, NAMES_MAX), consumerCount: names.length } : {}
    return [eventOf('credential', name, { credential: ids.credential(name) }, change, more)]
  })
}

function eventOf(noun: string, subject: string, links: Record<string, string>, change: Change, more: Record<string, Json>): EvidenceEvent {
  const type = `${noun}.${change.kind === 'add' ? 'added' : 'changed'}`
  return { log: 'credential', type, subject, links, data: { ...fieldData(change), ...more } }
}

function fieldData({ kind, fields }: Pick<Change, 'kind' | 'fields'>): Record<string, Json> {
  if (kind === 'add') return Object.fromEntries(fields.map(({ field, after }) => [field, after ?? null]))
  return Object.fromEntries(fields.map(({ field, before, after }) => [field, { before: before ?? null, after: after ?? null }]))
}

/** A consumer of a stored credential was added, changed or removed. */
export function consumerEvent(
  credential: string,
  id: string,
  consumer: string,
  what: 'added' | 'changed' | 'removed',
  fields: readonly FieldChange[],
): EvidenceEvent {
  const data = { consumer, what, ...fieldData({ kind: what === 'changed' ? 'change' : 'add', fields }) }
  return { log: 'credential', type: 'credential.changed', subject: credential, links: { credential: id }, data }
}

/** A value in use was declared. `known` is false when nobody gave it: then the first rotation is a takeover. */
export function declaredEvent(
  subject: string,
  version: {
    readonly id: string
    readonly credential: string
    readonly number: number
    readonly account: string
    readonly fingerprint: string | null
  },
): EvidenceEvent {
  const { id, credential, number, account, fingerprint } = version
  return {
    log: 'credential',
    type: 'version.declared',
    subject,
    links: { credential, version: id },
    data: { version: number, account, known: fingerprint !== null, fingerprint },
  }
}
