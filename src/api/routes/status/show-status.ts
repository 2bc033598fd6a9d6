import { z } from 'zod'
import { countInventory, listRotations, unclaimedSince } from '../../../credential/index.ts'
import { LOGS } from '../../../evidence/index.ts'
import { route } from '../../route.ts'
import { Rotation } from '../../views.ts'

/** Blocked and retrying rotations shown, of each; the rest are in the list of rotations. */
const BLOCKED_SHOWN = 20

const Status = z.object({
  version: z.string(),
  role: z.enum(['server', 'worker', 'all']),
  counts: z.object({
    systems: z.int(),
    identities: z.int(),
    credentials: z.int().describe('Root credentials of systems are not counted.'),
    liveRotations: z.int().describe('Rotations that have not ended, the blocked ones included.'),
    blocked: z.int(),
    decommissioned: z.int().describe('Systems that were given up.'),
    notProvable: z.int().describe('Versions of which nobody can prove whether they are dead.'),
  }),
  blocked: z.array(Rotation).describe('The latest blocked rotations: each waits for a human.'),
  retrying: z.array(Rotation).describe('The latest rotations whose step failed and is tried again by itself.'),
  unclaimedSince: z
    .string()
    .nullable()
    .describe('Since when a step is due that nobody takes, while nobody is at work: then no worker runs. Null if all is well.'),
  evidence: z.object({
    unsequenced: z.int(),
    checkpoints: z.array(z.object({ log: z.enum(LOGS), size: z.int(), at: z.string() })),
  }),
})

export const showStatus = route({
  method: 'GET',
  path: '/v1/status',
  summary: 'What there is, what is under way, what waits for a human.',
  action: 'status:read',
  answers: { 200: { what: 'Now', schema: Status } },
  problems: [],
  handle: async ({ parts }) => {
    const { store, figures, version, role } = parts
    const [counts, logs, blocked, retrying, unclaimed] = await Promise.all([
      countInventory(store),
      figures.evidence(),
      listRotations(store, { state: 'blocked', limit: BLOCKED_SHOWN }),
      listRotations(store, { retrying: true, limit: BLOCKED_SHOWN }),
      unclaimedSince(store),
    ])
    const checkpoints = logs.flatMap(({ log, checkpoint }) => (checkpoint === null ? [] : [{ log, ...checkpoint }]))
    const unsequenced = logs.reduce((sum, { unsequenced: waiting }) => sum + waiting, 0)
    const evidence = { unsequenced, checkpoints }
    return { status: 200, body: { version, role, counts, blocked, retrying, unclaimedSince: unclaimed, evidence } }
  },
})
