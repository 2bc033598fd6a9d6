import { z } from 'zod'
import { IDENTITY_STATUSES, type IdentityDetail, type IdentityRecord, RECORD_LIMITS, RECOVERY_CLASSES } from '../../../identity/index.ts'
import { RekeyError } from '../../../kernel/index.ts'
import { Name, Reason, text } from '../../views.ts'

export const IdentityKind = z.enum(['human', 'workload', 'machine', 'agent'])

const Time = z.iso.datetime()
const Named = z.object({ id: z.string(), name: z.string() })
export const Entitlement = z.strictObject({ system: Name, account: Name, role: Name })

const shape = {
  id: z.string(),
  name: z.string(),
  kind: IdentityKind,
  owner: z.string().describe('The name of who answers for it now, or the declared text if that names nobody.'),
  purpose: z.string(),
  environment: z.string(),
  status: z.enum(IDENTITY_STATUSES),
  recoveryClass: z.enum(RECOVERY_CLASSES),
  ownerId: z.string().nullable(),
  ownerState: z.enum(['person', 'team', 'person_suspended', 'team_without_people', 'unresolved']),
  tenancy: z.string(),
  source: z.string(),
  manager: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  createdAt: Time,
  changedAt: Time,
  revision: z.int(),
}

/** What lists show of an identity. */
export const Identity = z.object(shape).meta({ id: 'Identity' })

/** One identity with all that is kept of it. */
export const IdentityFull = z
  .object({
    ...shape,
    managerName: z.string().nullable(),
    recoveryClassReason: z.string().nullable(),
    ial: z.object({ level: z.union([z.literal(1), z.literal(2), z.literal(3)]), source: z.string(), at: Time }).nullable(),
    leftAt: Time.nullable(),
    externalIds: z.array(z.object({ source: z.string(), id: z.string() })),
    entitlements: z.array(Entitlement),
    teams: z.array(Named),
  })
  .meta({ id: 'IdentityFull' })

/** What of an identity is given by hand, at the start or later. */
export const identityInput = {
  owner: text(220).optional().describe('person: or team: with a name or id, or either alone.'),
  purpose: Name.optional(),
  environment: Name.optional(),
  tenancy: Name.optional(),
  manager: Name.nullable().optional().describe("A person's manager, by id or name."),
  labels: z.record(z.string().max(1000), z.string().max(1000)).optional(),
  entitlements: z.array(Entitlement).max(RECORD_LIMITS.entitlements).optional(),
  recoveryClass: z
    .strictObject({ class: z.enum(RECOVERY_CLASSES), reason: Reason })
    .nullable()
    .optional()
    .describe('Instead of the derived one; null: the derived one.'),
  ial: z
    .strictObject({ level: z.union([z.literal(1), z.literal(2), z.literal(3)]), source: Name, at: Time })
    .nullable()
    .optional()
    .describe('Identity assurance of a person, as somebody else established it.'),
}

export function identityView(record: IdentityRecord) {
  return { ...record, labels: { ...record.labels }, createdAt: record.createdAt.toISOString(), changedAt: record.changedAt.toISOString() }
}

export function fullView(detail: IdentityDetail) {
  return {
    ...detail,
    ...identityView(detail),
    ial: detail.ial && { ...detail.ial, at: detail.ial.at.toISOString() },
    leftAt: detail.leftAt?.toISOString() ?? null,
  }
}

/** `key=value` as a filter. Throws `bad_input`. */
export function labelOf(label: string | undefined): { label?: { key: string; value: string } } {
  if (label === undefined) return {}
  const at = label.indexOf('=')
  if (at <= 0) throw new RekeyError('bad_input', 'Write the label as key=value.')
  return { label: { key: label.slice(0, at), value: label.slice(at + 1) } }
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

/** Without the fields that are `undefined`: what is absent and what is nothing are two things to the use cases. */
export function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>
}

/** The assurance with its time as a time. */
export function ialOf<I extends { readonly at: string }>(ial: I | null | undefined): { ial?: (Omit<I, 'at'> & { at: Date }) | null } {
  if (ial === undefined) return {}
  return { ial: ial && { ...ial, at: new Date(ial.at) } }
}

/** Of what takes somebody out of action. */
export const Force = z.boolean().default(false).describe('Although nobody could change policy any more. Needs a reason of 10 characters.')
