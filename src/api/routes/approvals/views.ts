import { z } from 'zod'
import { APPROVAL_STATES, type ApprovalDetail, type ApprovalView } from '../../../identity/index.ts'

const Time = z.iso.datetime()

const fields = {
  id: z.string(),
  action: z.string(),
  subject: z.string(),
  state: z.enum(APPROVAL_STATES),
  requestedBy: z.object({ kind: z.string(), id: z.string(), name: z.string() }),
  requestedAt: Time,
  expiresAt: Time,
  endedAt: Time.nullable(),
  mine: z.boolean().describe('Whether whoever looks asked for it.'),
  waitsForMe: z.boolean().describe('Whether whoever looks was asked, and has not decided.'),
}

export const Approval = z.object(fields).meta({ id: 'Approval' }) satisfies z.ZodType<ApprovalView>

const FactorView = z.object({
  team: z.string(),
  teamName: z.string(),
  count: z.int(),
  aal: z.int().describe('Least assurance level of the login that decides.'),
  passkey: z.boolean().describe('Whether a passkey must sign the digest.'),
  lacking: z.int().describe('How many people it lacks now.'),
  approvers: z.array(z.object({ id: z.string(), name: z.string(), eligible: z.boolean() })),
})

const Decision = z.object({
  by: z.string(),
  name: z.string(),
  decision: z.enum(['approve', 'reject']),
  reason: z.string(),
  aal: z.int(),
  passkey: z.string().nullable(),
  at: Time,
  takenBackAt: Time.nullable(),
  takenBackReason: z.string().nullable(),
})

export const ApprovalFull = z
  .object({
    ...fields,
    words: z.string().describe('What is approved, as the server puts it.'),
    what: z.unknown().describe('What is approved, as data.'),
    digest: z.string().describe('SHA-256 over action, subject, what and words. A decision names it.'),
    factors: z.array(FactorView),
    decisions: z.array(Decision),
    bypass: z.object({ by: z.string(), reason: z.string() }).nullable(),
    withdrawnReason: z.string().nullable(),
  })
  .meta({ id: 'ApprovalFull' })

/** The domain's own detail; a change of its shape that the schema does not follow fails here. */
export function approvalView(detail: ApprovalDetail): z.input<typeof ApprovalFull> {
  return {
    ...detail,
    factors: detail.factors.map((factor) => ({ ...factor, approvers: [...factor.approvers] })),
    decisions: [...detail.decisions],
  }
}

export const Digest = z.string().regex(/^[0-9a-f]{64}$/, 'A digest is 64 hexadecimal digits.')
