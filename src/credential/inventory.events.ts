import type { EvidenceEvent } from '../evidence/index.ts'
import type { Json } from '../kernel/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Change, FieldChange } from './fleet.diff.ts'

/** Consumers told with their new credential take at most so many characters; the rest have events of their own. An event is bounded. */
const TOLD_CHARS = 16_000

/** The ids that the events of a change name. */
export interface Ids {
  readonly system: (name: string) => string
  readonly credential: (name: string) => string
}

/** The digest of the text of an authority, as evidence has it: the text itself may be large. */
export function authorityDigest(text: string | null): string | null {
  return text === null ? null : digestHex(text)
}

/** Text of a system's certificate authority before and after. */
export interface Authority {
  readonly before: string | null
  readonly after: string | null
}

/** The digests before and after, if they differ. */
function authorityChange({ before, after }: Authority): Record<string, Json> {
  const [was, is] = [authorityDigest(before), authorityDigest(after)]
  return was === is ? {} : { ca: { before: was, after: is } }
}

/** Only the text of the authority is another, at the path that the file names. */
export function renewedEvent(subject: string, id: string, caFile: string | null, authority: Authority): EvidenceEvent {
  const data = { authority: 'renewed', caFile, ...authorityChange(authority) }
  return { log: 'credential', type: 'system.changed', subject, links: { system: id }, data }
}

/**
 * The events of added and changed systems and credentials, one for each, in the order of the changes. A consumer is told with its
 * new credential, or as a change of the one it belongs to. Identities have theirs in their own log. Together they tell every declared
 * field, so that `rekey fsck` can compare the tables with them.
 */
export function eventsOf(changes: readonly Change[], ids: Ids, authorities: ReadonlyMap<string, Authority>): EvidenceEvent[] {
  const added = new Set(changes.filter(({ kind, of }) => kind === 'add' && of === 'credential').map(({ name }) => name))
  const consumers = Map.groupBy(
    changes.filter(({ of }) => of === 'consumer'),
    ({ credential }) => credential,
  )
  return changes.flatMap((change): EvidenceEvent[] => {
    const { kind, of, name, credential, fields } = change
    if (kind === 'missing-from-file' || of === 'identity') return []
    if (of === 'system') {
      const authority = authorities.get(name) ?? { before: null, after: null }
      const ca = kind === 'add' ? { ca: authorityDigest(authority.after) } : authorityChange(authority)
      return [eventOf('system', name, { system: ids.system(name) }, change, ca)]
    }
    if (of === 'consumer') {
      if (credential === null || added.has(credential)) return []
      return [consumerEvent(credential, ids.credential(credential), name, kind === 'add' ? 'added' : 'changed', fields)]
    }
    const links = { credential: ids.credential(name) }
    if (kind !== 'add') return [eventOf('credential', name, links, change, {})]
    const { told, rest } = tellable(consumers.get(name) ?? [])
    const more = { consumers: told, consumerCount: told.length + rest.length }
    return [
      eventOf('credential', name, links, change, more),
      ...rest.map((consumer) => consumerEvent(name, links.credential, consumer.name, 'added', consumer.fields)),
    ]
  })
}

/** As many consumers as fit into the event of their new credential. */
function tellable(consumers: readonly Change[]): { readonly told: Record<string, Json>[]; readonly rest: readonly Change[] } {
  const told: Record<string, Json>[] = []
  let chars = 0
  for (const { name, fields } of consumers) {
    const one = { name, ...fieldData({ kind: 'add', fields }) }
    chars += JSON.stringify(one).length
    if (chars > TOLD_CHARS) break
    told.push(one)
  }
  return { told, rest: consumers.slice(told.length) }
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

/** The root credential of a system has another account. It is no item of the file, so no change tells of it. */
export function rootMovedEvent(
  subject: string,
  before: { readonly id: string; readonly accounts: readonly string[]; readonly strategy: string },
  after: { readonly accounts: readonly string[]; readonly strategy: string },
): EvidenceEvent {
  const data = {
    accounts: { before: [...before.accounts], after: [...after.accounts] },
    strategy: { before: before.strategy, after: after.strategy },
  }
  return { log: 'credential', type: 'credential.changed', subject, links: { credential: before.id }, data }
}
