import { INVISIBLE, isId, LIMITS, RekeyError } from '../kernel/index.ts'
import type { Identity, IdentityKind } from './model.ts'

/** Where an identity stands. `offboarded` is the end: who comes back is a new identity. */
export const IDENTITY_STATUSES = ['active', 'suspended', 'offboarded'] as const
/** One of the statuses of an identity. */
export type IdentityStatus = (typeof IDENTITY_STATUSES)[number]

/** Which status may follow which. To go where one is already is no move and no fault: every use case may be repeated. */
export const NEXT_STATUS: Readonly<Record<IdentityStatus, readonly IdentityStatus[]>> = {
  active: ['suspended', 'offboarded'],
  suspended: ['active', 'offboarded'],
  offboarded: [],
}

/** By what way an identity gets a new credential when it has none left. */
export const RECOVERY_CLASSES = ['human', 'workload', 'machine_to_machine', 'emergency'] as const
/** One of the recovery classes. */
export type RecoveryClass = (typeof RECOVERY_CLASSES)[number]

const CLASS_OF: Readonly<Record<IdentityKind, RecoveryClass>> = {
  human: 'human',
  workload: 'workload',
  // An agent runs like a workload: its platform starts it again with a new credential.
  agent: 'workload',
  // A service account or integration: the other side has to be told.
  machine: 'machine_to_machine',
}

/**
 * The recovery class: the override if one is on record, else by kind (human → human; workload and agent → workload; machine →
 * machine_to_machine). `emergency` is never derived: somebody has to say it, with a reason.
 */
export function recoveryClassOf(kind: IdentityKind, override: RecoveryClass | null): RecoveryClass {
  return override ?? CLASS_OF[kind]
}

/** An owner by immutable id. */
export interface OwnerRef {
  readonly kind: 'person' | 'team'
  readonly id: string
}

/**
 * How well an owner answers: a person who is active; a team with at least one active person; a person who is suspended; a team
 * without one; a text that names nobody. The last three are findings.
 */
export type OwnerState = 'person' | 'team' | 'person_suspended' | 'team_without_people' | 'unresolved'

/** An id under which another system knows the identity: one for each source, unique in it. */
export interface ExternalId {
  /** `scim:<provider>` and the like. */
  readonly source: string
  readonly id: string
}

/** What an identity may be on a system. */
export interface Entitlement {
  readonly system: string
  readonly account: string
  readonly role: string
}

/** Identity assurance of a person (NIST SP 800-63A), as somebody else established it. Recorded, nothing more. */
export interface Ial {
  readonly level: 1 | 2 | 3
  readonly source: string
  readonly at: Date
}

/** Short texts about an identity, by key. */
export type Labels = Readonly<Record<string, string>>

/** An identity as the record has it. `owner` is the name of who answers for it now, or the declared text if that names nobody. */
export interface IdentityRecord extends Identity {
  readonly status: IdentityStatus
  readonly tenancy: string
  /** Who says that it exists: `declared` (fleet.yaml), `api`, `scim:<provider>`. */
  readonly source: string
  readonly recoveryClass: RecoveryClass
  readonly ownerId: string | null
  readonly ownerState: OwnerState
  /** Identity id of a person's manager. */
  readonly manager: string | null
  readonly labels: Labels
  readonly createdAt: Date
  readonly changedAt: Date
  /** Counts its changes from 1. */
  readonly revision: number
}

/** One identity with everything that is kept of it. */
export interface IdentityDetail extends IdentityRecord {
  readonly recoveryClassReason: string | null
  readonly managerName: string | null
  readonly ial: Ial | null
  readonly leftAt: Date | null
  readonly externalIds: readonly ExternalId[]
  readonly entitlements: readonly Entitlement[]
  /** Teams that it is a member of, directly or through nested teams, by name. */
  readonly teams: readonly { readonly id: string; readonly name: string }[]
}

/** The tenancy of everything that names none. */
export const DEFAULT_TENANCY = 'default'
/** The source of identities that fleet.yaml declares. */
export const DECLARED = 'declared'

/** Bounds of the record. What passes one is refused with its name and the bound. */
export const RECORD_LIMITS = {
  labels: 50,
  labelKeyChars: 63,
  labelValueChars: 200,
  entitlements: 500,
  externalIds: 20,
  externalIdChars: 500,
  reasonChars: 1000,
  /** Members in one call that sets them all. */
  members: 20_000,
} as const

/** Throws `bad_input` with half a sentence about what is wrong. */
export function refuse(what: string, hint?: string): never {
  throw new RekeyError('bad_input', what, hint === undefined ? {} : { hint })
}

/** A short text on one line: 1 to `max` characters, nothing invisible, no space at an end, in Unicode's composed form (NFC). */
export function checkText(what: string, value: string, max: number = LIMITS.nameChars): string {
  if (value === '') refuse(`The ${what} is empty.`)
  if (value.length > max) refuse(`The ${what} is longer than ${max} characters.`)
  if (INVISIBLE.test(value)) refuse(`The ${what} holds a line break, a control character or an invisible one.`)
  if (value.trim() !== value) refuse(`The ${what} begins or ends with a space.`)
  if (value.normalize('NFC') !== value) refuse(`The ${what} is not in Unicode's composed form (NFC).`)
  return value
}

const SCRIPTS = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u, /\p{Script=Armenian}/u, /\p{Script=Cherokee}/u]

/**
 * The name of a person, workload or team that joins. Names are told apart by their code points, so two that look alike are two. What
 * is refused is the trick that makes them look alike: letters of several of the scripts whose letters resemble one another (Latin,
 * Cyrillic, Greek, Armenian, Cherokee) within one word (after UTS #39 section 5.1). A name all in one other script is a name.
 */
export function checkName(what: string, name: string): string {
  checkText(what, name)
  for (const word of name.split(/[^\p{L}\p{M}]+/u)) {
    if (SCRIPTS.filter((script) => script.test(word)).length > 1) {
      refuse(`The ${what} mixes alphabets within one word.`, 'Write each word in one alphabet: mixed letters pass for one another.')
    }
  }
  return name
}

/** The name of an identity that joins: also in compatibility form (NFKC: no full-width or styled letters), and not like an id. */
export function checkIdentityName(name: string): string {
  checkName('name', name)
  if (name.normalize('NFKC') !== name) refuse('The name holds characters that only look like letters (it is not in NFKC).')
  if (isId(name.toLowerCase())) refuse('The name has the form of an id.')
  return name
}

const LABEL_KEY = /^[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$/

/** Labels within bounds. Throws `bad_input` naming the first fault. */
export function checkLabels(labels: Labels): Labels {
  const entries = Object.entries(labels)
  const { labels: most, labelKeyChars, labelValueChars } = RECORD_LIMITS
  if (entries.length > most) refuse(`There are ${entries.length} labels; at most ${most} are kept.`)
  for (const [key, value] of entries) {
    if (key.length > labelKeyChars) refuse(`The key of a label is longer than ${labelKeyChars} characters.`)
    if (!LABEL_KEY.test(key)) refuse('The key of a label is made of a-z, 0-9 and, within, . _ / and -.')
    checkText(`label ${key}`, value, labelValueChars)
  }
  return labels
}

/** Entitlements within bounds, without repeats, in a fixed order. Throws `bad_input` naming the first fault. */
export function checkEntitlements(wanted: readonly Entitlement[]): Entitlement[] {
  if (wanted.length > RECORD_LIMITS.entitlements) {
    refuse(`There are ${wanted.length} entitlements; at most ${RECORD_LIMITS.entitlements} are kept.`)
  }
  for (const { system, account, role } of wanted) {
    checkText('system of an entitlement', system)
    checkText('account of an entitlement', account)
    checkText('role of an entitlement', role)
  }
  return [...new Map(wanted.map((it) => [entitlementKey(it), it])).entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, it]) => it)
}

/** Tells entitlements apart. */
export function entitlementKey({ system, account, role }: Entitlement): string {
  return JSON.stringify([system, account, role])
}

/** External ids within bounds, one for each source. Throws `bad_input` naming the first fault. */
export function checkExternalIds(wanted: readonly ExternalId[]): readonly ExternalId[] {
  if (wanted.length > RECORD_LIMITS.externalIds) refuse(`There are more than ${RECORD_LIMITS.externalIds} external ids.`)
  for (const { source, id } of wanted) {
    checkText('source of an external id', source)
    checkText('external id', id, RECORD_LIMITS.externalIdChars)
  }
  if (new Set(wanted.map(({ source }) => source)).size < wanted.length) refuse('A source may give one external id only.')
  return wanted
}

/** A reason in words. */
export function checkReason(reason: string): string {
  return checkText('reason', reason, RECORD_LIMITS.reasonChars)
}
