/** Findings are computed from rows at each question: nothing is kept that could grow old. Every query reads a bounded part of one index. */
import { type Answerable, answerableFor, type IdentityRecord, recordsById } from '../identity/index.ts'
import { isId, LOOKED_AT_MAX, RekeyError } from '../kernel/index.ts'
import type { Allowed } from '../policy/index.ts'
import type { Sql } from '../store/index.ts'
import { FINDINGS, type Finding, type FindingKind } from './finding.model.ts'
import type { Raw, Source } from './finding.source.ts'
import { SOURCES } from './finding.sources.ts'
import { standingResource } from './resources.ts'

/** Which findings; all that are given must hold. */
export interface FindingFilter {
  readonly kind?: FindingKind | undefined
  readonly severity?: 'high' | 'medium' | 'low' | undefined
  /** Cursor that the page before gave. */
  readonly after?: string | undefined
  readonly limit: number
}

/**
 * A page of findings that the asker may read, high ones before all others, and the cursor of what follows (null at the end). It tells
 * nothing of what may not be read, as `pageOfSeen`, and with the same exception. Throws `bad_input` for a cursor that is none.
 */
export async function listFindings(
  sql: Sql,
  may: Allowed<'finding:read'>,
  filter: FindingFilter,
): Promise<{ readonly items: Finding[]; readonly next: string | null }> {
  const steps = stepsOf(filter)
  const shown: Seen[] = []
  let place: Place | null = placeOf(steps, filter.after)
  for (let looked = 0; place !== null && looked < LOOKED_AT_MAX; ) {
    const from: Place = place
    const { raw, next } = await readFrom(sql, steps, from)
    const seen = (await seenOf(sql, may, raw)).slice(from.skip)
    const room = filter.limit - shown.length
    if (seen.length > room) {
      shown.push(...seen.slice(0, room))
      return { items: await withOwners(sql, shown), next: textOf(steps, afterSeen(from, seen, room)) }
    }
    shown.push(...seen)
    place = next
    // A step that ends has fewer rows, and there are few steps.
    if (next?.at === from.at) looked += AT_ONCE
  }
  return { items: await withOwners(sql, shown), next: place && textOf(steps, place) }
}

/** Rows that one place is asked for at once. */
const AT_ONCE = 200

/** Where a list goes on: in which step, after which row, and how many findings of the row after that were shown. */
interface Place {
  readonly at: number
  readonly after: string | null
  readonly skip: number
}

/** After the first `count` of what was seen from a place on. One row may be several findings. */
function afterSeen(from: Place, seen: readonly Seen[], count: number): Place {
  const key = seen[count]?.key
  const whole = seen.slice(0, count).findLast((one) => one.key !== key)?.key
  const same = seen.slice(0, count).filter((one) => one.key === key).length
  return whole === undefined ? { ...from, skip: from.skip + same } : { ...from, after: whole, skip: same }
}

/** What one step has from a place on, in the order of its rows, and where it goes on; null: nowhere. */
async function readFrom(sql: Sql, steps: readonly Step[], { at, after }: Place): Promise<{ raw: Raw[]; next: Place | null }> {
  const step = steps[at]
  if (step === undefined) return { raw: [], next: null }
  const { found, last } = await step.source.read(sql, after, AT_ONCE)
  const raw = found.filter(({ kind }) => step.kinds.includes(kind)).sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  return { raw, next: last === null ? { at: at + 1, after: null, skip: 0 } : { at, after: last, skip: 0 } }
}

/** One reading of one place, for what is equally bad. A place with kinds of two severities is read twice. */
interface Step {
  readonly name: string
  readonly kinds: readonly FindingKind[]
  readonly source: Source
}

/** The worst first: nobody should have to read to the end to see what burns. */
function stepsOf(filter: FindingFilter): Step[] {
  return (['high', 'medium', 'low'] as const).flatMap((severity) =>
    SOURCES.flatMap((source) => {
      const kinds = source.kinds.filter(
        (kind) => FINDINGS[kind].severity === severity && (filter.kind ?? kind) === kind && (filter.severity ?? severity) === severity,
      )
      return kinds.length === 0 ? [] : [{ name: `${severity}.${source.name}`, kinds, source }]
    }),
  )
}

function textOf(steps: readonly Step[], { at, after, skip }: Place): string | null {
  const step = steps[at]
  return step === undefined ? null : `${step.name}:${after ?? ''}${skip === 0 ? '' : `+${skip}`}`
}

function placeOf(steps: readonly Step[], text: string | undefined): Place {
  if (text === undefined) return { at: 0, after: null, skip: 0 }
  const [name = '', rest = ''] = text.split(':', 2)
  const [id = '', skip = '0'] = rest.split('+', 2)
  const at = steps.findIndex((step) => step.name === name)
  if (at < 0 || (id !== '' && !isId(id)) || !/^\d{1,6}$/.test(skip)) {
    throw new RekeyError('bad_input', 'This is no cursor of a page of findings.')
  }
  return { at, after: id === '' ? null : id, skip: Number(skip) }
}

/** A finding that the asker may read. */
interface Seen extends Raw {
  readonly record: IdentityRecord | undefined
  /** With the other credentials that the asker may read. */
  readonly words: string
}

async function seenOf(sql: Sql, may: Allowed<'finding:read'>, raw: readonly Raw[]): Promise<Seen[]> {
  const named = raw.flatMap(({ identity, others = [] }) => [identity ?? [], others.flatMap((other) => other.identity ?? [])].flat())
  const records = await recordsById(sql, [...new Set(named)])
  const isMine = (id: string, system: string | null, identity: string | null) =>
    may.can(standingResource('finding', id, system, records.get(identity ?? '')))
  return raw.flatMap((one): Seen[] => {
    if (!isMine(one.key, one.system, one.identity)) return []
    const mine = one.others?.filter((other) => isMine(other.id, other.system, other.identity))
    const words = `${one.detail}${mine === undefined ? '' : ` is also that of ${namesOf(mine, one.others?.length ?? 0)}`}`
    return [{ ...one, record: records.get(one.identity ?? ''), words }]
  })
}

/** Each with whom to ask. */
async function withOwners(sql: Sql, seen: readonly Seen[]): Promise<Finding[]> {
  const owners = new Map<string, Answerable>()
  const findings: Finding[] = []
  for (const { kind, key, owner: named, since, record, words: detail, subject, system } of seen) {
    const owner = named ?? owners.get(record?.id ?? '') ?? (await answerableFor(sql, record ?? null))
    if (named === undefined) owners.set(record?.id ?? '', owner)
    const { severity, control, action } = FINDINGS[kind]
    const of = { subject, system, identity: record?.name ?? null, detail, owner: { kind: owner.kind, id: owner.id, name: owner.name } }
    findings.push({ finding: `${kind}:${key}`, kind, severity, control, action, ...of, since: since.toISOString() })
  }
  return findings
}

/** At most five by name, and how many more there are: also of those that the asker may not read. */
function namesOf(mine: readonly { readonly name: string }[], count: number): string {
  const names = mine.slice(0, 5).map(({ name }) => name)
  const rest = count - names.length
  if (rest > 0) names.push(`${rest} ${names.length > 0 ? 'more' : 'other'}`)
  return names.join(', ')
}
