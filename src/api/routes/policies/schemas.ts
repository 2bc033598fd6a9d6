import { z } from 'zod'
import { POLICY_SET_MAX_BYTES } from '../../../policy/index.ts'

const Time = z.iso.datetime()

export const PolicyFileInput = z.strictObject({
  name: z.string().min(1).max(100),
  // Whether it is text that can be kept is one of the faults that are told with file and line.
  text: z.string().max(POLICY_SET_MAX_BYTES),
})

/** Files of a folder, which lie over the default ones. A file of the same name takes the place of the default one. */
export const Files = z.array(PolicyFileInput).min(1).max(200)

/** Twice what a set may have: JSON writes some characters as two. */
export const FILES_BYTES = 2 * POLICY_SET_MAX_BYTES

export const PolicySetView = z
  .object({
    id: z.string(),
    origin: z.enum(['default', 'own']),
    state: z.enum(['proposed', 'active', 'replaced']),
    digest: z.string(),
    baseDigest: z.string().nullable(),
    words: z.string(),
    proposedBy: z.string(),
    proposedAt: Time,
    activatedBy: z.string().nullable(),
    activatedAt: Time.nullable(),
    bypassReason: z.string().nullable(),
  })
  .meta({ id: 'PolicySet' })

export const FileChange = z
  .object({ file: z.string(), change: z.enum(['added', 'removed', 'changed']), lines: z.array(z.string()) })
  .meta({ id: 'PolicyFileChange' })

export const Digest = z.string().regex(/^[0-9a-f]{64}$/, 'A digest is 64 hexadecimal digits.')
