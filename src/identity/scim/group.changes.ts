/** Operations of a PATCH on the members of a group, as changes of a set of ids. */
import type { Json } from '../../kernel/index.ts'
import { isArray, isObject } from './attribute.ts'
import { cleanValue } from './clean.ts'
import { invalidValue, ScimError } from './error.ts'
import { type Bound, matches } from './filter.match.ts'
import type { MemberRow } from './group.store.ts'
import type { Step } from './patch.ts'
import { memberOf, textOf } from './view.ts'

/** Ids of members, as the provider wrote them. */
export type Members = readonly string[]

/** One change of the members. `choose` takes out those that a filter chooses; `with` comes in their place, null for `remove`. */
export type Change =
  | { readonly op: 'add' | 'drop' | 'set'; readonly ids: Members }
  | { readonly op: 'choose'; readonly chooses: (row: MemberRow) => boolean; readonly with: Members | null }

/** The changes, neighbours of one kind joined: a thousand operations of one member each are one statement. */
export function changesOf(steps: readonly Step[]): Change[] {
  const changes: Change[] = []
  for (const change of steps.map(changeOf)) {
    const last = changes.at(-1)
    if (last !== undefined && last.op === change.op && last.op !== 'choose' && change.op !== 'choose' && last.op !== 'set') {
      changes[changes.length - 1] = { op: last.op, ids: [...last.ids, ...change.ids] }
    } else changes.push(change)
  }
  return changes
}

function changeOf({ op, chain, filter, value }: Step): Change {
  if (filter !== null) {
    if (op === 'remove') {
      const ids = idsIn(filter)
      return ids === null ? { op: 'choose', chooses: chosenBy(filter), with: null } : { op: 'drop', ids }
    }
    if (op === 'add') throw new ScimError(400, 'mutability', 'A member cannot be changed, only added and removed.')
    return { op: 'choose', chooses: chosenBy(filter), with: membersIn(chain[0], value ?? null) }
  }
  if (op === 'add') return { op: 'add', ids: membersIn(chain[0], value ?? null) }
  if (op === 'replace') return { op: 'set', ids: membersIn(chain[0], value ?? null) }
  // Entra ID names those to be removed in the value. A list that is empty names none; only no value at all means everyone.
  return value === undefined ? { op: 'choose', chooses: () => true, with: null } : { op: 'drop', ids: membersIn(chain[0], value) }
}

function membersIn(attribute: Step['chain'][0], value: Json): Members {
  const given = (isArray(value) ? value : [value]).filter((one) => one !== null)
  const members = cleanValue(attribute, given)
  const ids = (isArray(members) ? members : []).flatMap((member) => (isObject(member) ? (textOf(member, 'value') ?? []) : []))
  if (ids.length < given.length) throw invalidValue('A member has a value.')
  return ids
}

function chosenBy(filter: Bound): (row: MemberRow) => boolean {
  return (row) => matches(filter, memberOf(row))
}

/** The ids, if the filter is nothing but `value eq "…"`, once or joined by `or`: then nobody has to be looked at. */
function idsIn(filter: Bound): string[] | null {
  if (filter.op === 'or') {
    const parts = filter.filters.map(idsIn)
    return parts.some((part) => part === null) ? null : parts.flatMap((part) => part ?? [])
  }
  if (filter.op !== 'eq' || filter.chain[0].name !== 'value' || typeof filter.value !== 'string') return null
  return [filter.value]
}
