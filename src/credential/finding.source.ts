/** What the places have in common where findings come from. */
import type { Answerable } from '../identity/index.ts'
import type { Sql } from '../store/index.ts'
import type { FindingKind } from './finding.model.ts'

/** Another credential. */
export interface Other {
  readonly id: string
  readonly name: string
  readonly system: string
  /** Its identity. */
  readonly identity: string | null
}

/** A finding before its owner is known: `owner`, or else who answers for the identity. */
export interface Raw {
  readonly kind: FindingKind
  /** What makes it this one: an id, or ids. */
  readonly key: string
  readonly subject: string
  readonly system: string | null
  readonly identity: string | null
  readonly owner?: Answerable
  readonly detail: string
  /** Credentials that the detail goes on with: which of them are named depends on who asks. */
  readonly others?: readonly Other[]
  readonly since: Date
}

/** One place where findings come from; `after` is the id of the last row that was looked at. */
export interface Source {
  readonly name: string
  readonly kinds: readonly FindingKind[]
  read(sql: Sql, after: string | null, limit: number): Promise<{ readonly found: readonly Raw[]; readonly last: string | null }>
}

/** For people to read. */
export const words = (text: string) => text.replaceAll('_', ' ')
/** The id of the last row of a full page; null at the end. */
export const pageOf = <T>(rows: readonly T[], limit: number, idOf: (row: T) => string) =>
  rows.length < limit ? null : idOf(rows[limit - 1] as T)
