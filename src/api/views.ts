/** What the API shows and takes, as schemas. `satisfies`-like checks against the areas' own types keep the two in step. */
import { z } from 'zod'
import {
  type CredentialView,
  type RotationDetail as RotationDetailView,
  type RotationView,
  STATES,
  type SystemView,
  type VersionView,
} from '../credential/index.ts'
import { LIMITS, Secret } from '../kernel/index.ts'

/** Holds a schema to a type of the domain. */
const of =
  <T>() =>
  <S extends z.ZodType<T>>(schema: S): S =>
    schema

const Time = z.iso.datetime()
const MaybeTime = Time.nullable()
const Strategy = z.enum(['in-place', 'alternating', 'dual'])
export const StateName = z.enum(STATES)

/** Text that the database and evidence can keep: no NUL, no half of a surrogate pair. */
export const text = (maxChars: number) =>
  z
    .string()
    .min(1)
    .max(maxChars)
    .refine((value) => !value.includes('\u0000') && value.isWellFormed(), 'Invalid characters')

export const Id = z.uuid('Not an id: ids are UUIDs, as lists show them')
export const Name = text(LIMITS.nameChars)
export const Reason = text(1000)

const BASE64_CHARS = 4 * Math.ceil(LIMITS.secretBytes / 3)

/** A secret is a `Secret` from the moment it is parsed: what a log or an error could print of the body is a mask. */
export const SecretValue = z
  .base64()
  .min(4)
  .max(BASE64_CHARS)
  .transform((value) => new Secret(Buffer.from(value, 'base64')))

/**
 * A page of a list: `after` is the cursor that the page before gave as `next`. Clients hold it sealed; a route gets what its list said, and
 * never anything that a client made up.
 */
export const pageQuery = {
  after: text(2000).optional(),
  limit: z.coerce.number().int().min(1).max(LIMITS.pageMax).default(LIMITS.pageDefault),
}

/** A list and the cursor of what follows. */
export function pageOf<S extends z.ZodType>(item: S) {
  return z.object({ items: z.array(item), next: z.string().nullable() })
}

/** Cuts `rows`, read with one more than `limit`, into a page. */
export function cut<T>(rows: readonly T[], limit: number, cursorOf: (last: T) => string): { items: readonly T[]; next: string | null } {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return { items, next: rows.length > limit && last !== undefined ? cursorOf(last) : null }
}

/** The same for a list that is read whole: what follows the item that `after` names. */
export function slicePage<T>(
  all: readonly T[],
  page: { readonly after?: string | undefined; readonly limit: number },
  keyOf: (item: T) => string,
) {
  const { after, limit } = page
  const start = after === undefined ? 0 : all.findIndex((item) => keyOf(item) === after) + 1
  // The item that was last is gone since: no page is better than the first one again.
  if (start === 0 && after !== undefined) return { items: [], next: null }
  return cut(all.slice(start, start + limit + 1), limit, keyOf)
}

export const Rotation = of<RotationView>()(
  z.object({
    rotation: z.string(),
    credential: z.string(),
    system: z.string(),
    state: StateName,
    blockedFrom: StateName.nullable(),
    oldVersion: z.int().nullable(),
    newVersion: z.int().nullable(),
    createdAt: Time,
    stagedAt: MaybeTime,
    installedAt: MaybeTime,
    verifiedAt: MaybeTime,
    distributedAt: MaybeTime,
    activatedAt: MaybeTime,
    retiredAt: MaybeTime,
    provedDeadAt: MaybeTime,
    endedAt: MaybeTime,
    blockedAt: MaybeTime,
    gapMs: z.number().nullable(),
    tries: z.int(),
    reason: z.string().nullable(),
    hint: z.string().nullable(),
    startedBy: z.string(),
    startReason: z.string(),
  }),
).meta({ id: 'Rotation' })

export const RotationDetail = of<RotationDetailView>()(
  Rotation.extend({
    orderedBy: z.string().nullable().describe('Who started it, with the name at that time; null: the evidence tells none.'),
    interventions: z
      .array(
        z.object({
          what: z.enum(['undo', 'retry', 'override-activation', 'irrevocable']),
          at: Time,
          actor: z.string(),
          by: z.string().nullable(),
          reason: z.string().nullable(),
        }),
      )
      .describe('Who undid it, tried it again, overrode its activation or gave up its old value: the oldest first, out of the evidence.'),
  }),
).meta({ id: 'RotationDetail' })

export const ServerFacts = z
  .record(z.string(), z.string())
  .nullable()
  .describe('What the server says of itself that stays over restarts; null: it was not met yet.')

export const System = of<SystemView>()(
  z.object({
    name: z.string(),
    connector: z.string(),
    address: z.object({
      host: z.string(),
      port: z.int(),
      database: z.string().optional(),
      tls: z.enum(['off', 'require', 'verify-full']),
      ca: z.boolean(),
    }),
    rootAccount: z.string(),
    concurrent: z.int(),
    credentials: z.int(),
    decommissionedAt: MaybeTime,
    server: ServerFacts,
  }),
).meta({ id: 'System' })

export const Credential = of<CredentialView>()(
  z.object({
    id: z.string(),
    name: z.string(),
    system: z.string(),
    identity: z.string().nullable(),
    owner: z.string().nullable(),
    purpose: z.string().nullable(),
    root: z.boolean(),
    strategy: Strategy,
    accounts: z.array(z.string()),
    everySeconds: z.int().nullable(),
    graceSeconds: z.int(),
    currentVersion: z.int().nullable(),
    currentKnown: z.boolean(),
    alive: z.int(),
    nextRotationAt: MaybeTime,
    rotation: z.object({ id: z.string(), state: StateName, reason: z.string().nullable() }).nullable(),
  }),
).meta({ id: 'Credential' })

export const Version = of<VersionView>()(
  z.object({
    number: z.int(),
    account: z.string(),
    state: z.enum(['staged', 'current', 'previous', 'dead', 'void', 'unprovable', 'irrevocable']),
    valueHeld: z.boolean(),
    installedAt: MaybeTime,
    revokedAt: MaybeTime,
    effectiveDeadAt: MaybeTime,
    provedDeadAt: MaybeTime,
    shreddedAt: MaybeTime,
    lastProbe: z.object({ outcome: z.enum(['accepted', 'refused', 'unreachable', 'inconclusive']), at: z.string() }).nullable(),
    unknownSince: MaybeTime.describe('Since a rotation may have changed what the last probe saw.'),
  }),
).meta({ id: 'Version' })

export const Consumer = z
  .object({
    name: z.string(),
    file: z.object({ path: z.string(), key: z.string().nullable() }).nullable(),
    activation: z.enum(['session', 'report', 'none']),
    identity: z.string().nullable().describe("Whose it is; null: nobody's that is known."),
    identityBy: z.enum(['file', 'name']).nullable().describe('What says so: the fleet file, or its name.'),
  })
  .meta({ id: 'Consumer' })

export const Started = z
  .object({
    batch: z.string(),
    rotations: z.array(z.object({ rotation: z.string(), credential: z.string() })),
    skipped: z
      .array(z.object({ credential: z.string(), rotation: z.string(), state: StateName, reason: z.string().nullable() }))
      .describe('Of a system or of all: credentials that have a rotation already, under way or blocked. Nothing was started for them.'),
  })
  .meta({ id: 'Started' })
