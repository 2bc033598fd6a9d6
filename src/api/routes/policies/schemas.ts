import { z } from 'zod'
import { identitiesById, type PolicySetView as Row } from '../../../identity/index.ts'
import { POLICY_SET_MAX_BYTES } from '../../../policy/index.ts'
import type { ApiParts } from '../../parts.ts'

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
    proposedByName: z.string().nullable().describe('Of the identity that proposed it; null if none did, or it is gone.'),
    proposedAt: Time,
    activatedBy: z.string().nullable(),
    activatedByName: z.string().nullable(),
    activatedAt: Time.nullable(),
    bypassReason: z.string().nullable(),
  })
  .meta({ id: 'PolicySet' })

const OF_IDENTITY = /^(?:person|workload|machine|agent):([0-9a-f-]{36})/

/** With the names of who proposed it and who brought it into force. */
export async function named<T extends Row>({ store }: Pick<ApiParts, 'store'>, set: T) {
  const idOf = (actor: string | null) => OF_IDENTITY.exec(actor ?? '')?.[1] ?? null
  const [proposer, activator] = [idOf(set.proposedBy), idOf(set.activatedBy)]
  const names = await identitiesById(
    store,
    [...new Set([proposer, activator])].flatMap((id) => id ?? []),
  )
  const nameOf = (id: string | null) => (id === null ? null : (names.get(id)?.name ?? null))
  return { ...set, proposedByName: nameOf(proposer), activatedByName: nameOf(activator) }
}

export const BothHands = z
  .array(
    z.object({
      kind: z.enum(['identity', 'token']),
      id: z.string(),
      name: z.string(),
      hands: z.array(z.object({ hand: z.enum(['directory', 'credential']), by: z.string(), actions: z.array(z.string()) })),
    }),
  )
  .describe('Who would newly hold directory rights and credential rights together, by what and for which actions; the first hundred.')

/** As many as an answer shows. */
export const firstBothHands = <T>(found: readonly T[]): T[] => found.slice(0, 100)

export const FileChange = z
  .object({ file: z.string(), change: z.enum(['added', 'removed', 'changed']), lines: z.array(z.string()) })
  .meta({ id: 'PolicyFileChange' })

export const Digest = z.string().regex(/^[0-9a-f]{64}$/, 'A digest is 64 hexadecimal digits.')
