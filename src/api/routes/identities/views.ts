import { z } from 'zod'
import { IDENTITY_STATUSES, type IdentityRecord, RECOVERY_CLASSES } from '../../../identity/index.ts'
import { RekeyError } from '../../../kernel/index.ts'

export const IdentityKind = z.enum(['human', 'workload', 'machine', 'agent'])

/** What lists show of an identity. */
export const identityShape = {
  id: z.string(),
  name: z.string(),
  kind: IdentityKind,
  owner: z.string(),
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
  createdAt: z.iso.datetime(),
  changedAt: z.iso.datetime(),
  revision: z.int(),
}

export const Identity = z.object(identityShape).meta({ id: 'Identity' })

export function identityView(record: IdentityRecord) {
  const { createdAt, changedAt, ...rest } = record
  return { ...rest, labels: { ...rest.labels }, createdAt: createdAt.toISOString(), changedAt: changedAt.toISOString() }
}

/** `key=value` as a filter. Throws `bad_input`. */
export function labelOf(text: string | undefined): { label?: { key: string; value: string } } {
  if (text === undefined) return {}
  const at = text.indexOf('=')
  if (at <= 0) throw new RekeyError('bad_input', 'Write the label as key=value.')
  return { label: { key: text.slice(0, at), value: text.slice(at + 1) } }
}
