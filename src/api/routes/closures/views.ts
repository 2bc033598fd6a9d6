import { z } from 'zod'
import {
  CLOSURE_STATES,
  type ClosureItemView,
  type ClosureView,
  GOALS,
  ITEM_STATES,
  type PlanView,
  RELATIONS,
} from '../../../credential/index.ts'

const Time = z.iso.datetime()
const ItemState = z.enum(ITEM_STATES)
const Way = z
  .enum(['suspend', 'rotate', 'hand_over'])
  .describe('Stopped and destroyed; rotated, because others use it; or given to a human.')

const Relation = z
  .enum(RELATIONS)
  .describe("The identity's own; or somebody else's, whose value it knows: it consumes it, or has the same one.")

/** Who answers for something. */
export const Human = z.object({ kind: z.enum(['person', 'team']), id: z.string(), name: z.string() })

/** A closure as it is listed. */
export const Closure = z
  .object({
    closure: z.string(),
    identity: z.string(),
    identityId: z.string(),
    goal: z.enum(GOALS),
    state: z.enum(CLOSURE_STATES),
    reason: z.string(),
    startedBy: z.string(),
    destroyAt: Time.nullable(),
    createdAt: Time,
    endedAt: Time.nullable(),
    counts: z.partialRecord(ItemState, z.int()),
  })
  .meta({ id: 'Closure' }) satisfies z.ZodType<ClosureView>

/** One credential of a closure. */
export const ClosureItem = z
  .object({
    credential: z.string(),
    system: z.string(),
    way: Way,
    why: z.string(),
    relation: Relation,
    consumers: z.array(z.string()),
    state: ItemState,
    from: ItemState.nullable(),
    reason: z.string().nullable(),
    hint: z.string().nullable(),
    human: Human.extend({ since: Time }).nullable(),
    nextTryAt: Time.nullable().describe('When it is tried again by itself; null: not by itself.'),
    looks: z.int().describe('How often Rekey has looked whether the system answers, since a human has it.'),
    rotation: z.string().nullable(),
    sessionsEnded: z.int(),
    suspendedAt: Time.nullable(),
    resumedAt: Time.nullable(),
    destroyedAt: Time.nullable(),
    provedDeadAt: Time.nullable().describe('When the value that it had was proven dead, by the closure or by its rotation.'),
    endedAt: Time.nullable(),
  })
  .meta({ id: 'ClosureItem' }) satisfies z.ZodType<ClosureItemView>

/** What would become of one credential. */
export const Planned = z
  .object({
    credential: z.string(),
    system: z.string(),
    accounts: z.array(z.string()),
    way: Way,
    why: z.string(),
    relation: Relation,
    begins: z.enum(['suspension', 'offboarding']).describe("From which order on: a suspension leaves what is somebody else's as it is."),
    consumers: z.array(z.string()),
    suspends: z.string().nullable().describe('What is done on the system, in its own words.'),
    destroys: z.string().nullable(),
  })
  .meta({ id: 'PlannedEnd' }) satisfies z.ZodType<PlanView>
