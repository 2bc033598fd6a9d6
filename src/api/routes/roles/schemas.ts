import { z } from 'zod'

export const Binding = z
  .object({
    id: z.string(),
    role: z.string(),
    kind: z.enum(['team', 'identity', 'token']),
    subject: z.string(),
    name: z.string().nullable(),
    createdAt: z.iso.datetime(),
    createdBy: z.string(),
    reason: z.string(),
  })
  .meta({ id: 'RoleBinding' })
