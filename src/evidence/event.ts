import { type Ctx, type Json, RekeyError } from '../kernel/index.ts'
import { canonicalJson } from './canonical.ts'
import { type Hash, leafHash } from './merkle.ts'

/** The two logs: what happened to identities, and what happened to credentials. */
export const LOGS = ['credential', 'identity'] as const
/** The name of a log. */
export type LogName = (typeof LOGS)[number]

/** What happened, as the area that did it tells it. Never a secret, only keyed fingerprints. */
export interface EvidenceEvent {
  readonly log: LogName
  /** Dotted lower-case name, `rotation.proven_dead`. */
  readonly type: string
  /** Who did it; `ctx.actor` when left out. */
  readonly actor?: string
  /** When; the moment of writing when left out. For what was observed a moment before it is committed. */
  readonly at?: Date
  /** The name of what it happened to, for people: of a credential, a system, an identity. */
  readonly subject: string
  /** Ids that join it to rows and to other events, by what they are of: `{ credential, rotation, … }`. */
  readonly links?: { readonly [what: string]: string }
  /** What was observed. */
  readonly data?: { readonly [key: string]: Json }
}

/** An event as the log holds it. Its canonical JSON, as UTF-8, is the leaf. */
export interface EventBody {
  readonly v: 1
  readonly log: LogName
  readonly type: string
  /** When, RFC 3339 UTC in milliseconds. */
  readonly at: string
  readonly actor: string
  readonly subject: string
  readonly links: { readonly [what: string]: string }
  readonly data: { readonly [key: string]: Json }
}

/** Most bytes of one event's body. */
export const EVENT_MAX_BYTES = 64 * 1024

const KEYS = ['actor', 'at', 'data', 'links', 'log', 'subject', 'type', 'v']
const TYPE = /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/
const AT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const CONTROL = /\p{Cc}/u

/**
 * The body of an event, and its canonical text. Throws `bad_input` for an event that is not of the shape above or passes 64 KiB,
 * `internal` for one that carries a `Secret` anywhere.
 */
export function sealEvent(
  ctx: Pick<Ctx, 'actor' | 'clock' | 'proof'>,
  event: EvidenceEvent,
): { readonly body: EventBody; readonly text: string } {
  const body: EventBody = {
    v: 1,
    log: event.log,
    type: event.type,
    at: (event.at ?? ctx.clock.now()).toISOString(),
    actor: event.actor ?? ctx.actor,
    subject: event.subject,
    // Who is named as the actor in place of the context's proved nothing here.
    links: { ...event.links, ...(event.actor === undefined || event.actor === ctx.actor ? ctx.proof : {}) },
    data: event.data ?? {},
  }
  const text = canonicalJson({ ...body })
  const fault = faultOfBody({ ...body }, () => text)
  if (fault !== null) throw new RekeyError('bad_input', `The evidence event is not valid: ${fault}.`)
  return { body, text }
}

/** What keeps a JSON value from being the body of an event, as half a sentence; `null` if nothing does. */
export function faultOfEvent(value: Json): string | null {
  return faultOfBody(value, () => canonicalJson(value))
}

/** The same where the canonical text is there already: making it is most of the work. */
function faultOfBody(value: Json, text: () => string): string | null {
  if (!isObject(value)) return 'it is not an object'
  if (Object.keys(value).sort().join() !== KEYS.join()) return 'its members are not those of an event'
  const { v, log, type, at, actor, subject, links, data } = value
  if (v !== 1) return 'its version is not 1'
  if (!LOGS.some((name) => name === log)) return 'there is no such log'
  if (typeof type !== 'string' || !TYPE.test(type)) return 'its type is not a dotted lower-case name'
  if (typeof at !== 'string' || !AT.test(at)) return 'its time is not RFC 3339 in UTC milliseconds'
  if (!isName(actor) || !isName(subject)) return 'its actor and subject must be names without control characters'
  if (!isObject(links ?? null) || Object.values(links ?? {}).some((id) => typeof id !== 'string')) return 'its links are not texts'
  if (!isObject(data ?? null)) return 'its data is not an object'
  return Buffer.byteLength(text()) > EVENT_MAX_BYTES ? 'it is larger than 64 KiB' : null
}

/** The hash under which an event's text stands in its log. */
export function eventLeafHash(text: string): Hash {
  return leafHash(Buffer.from(text, 'utf8'))
}

/** True for a JSON object (not an array, not `null`). */
export function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isName(value: Json | undefined): value is string {
  return typeof value === 'string' && value !== '' && !CONTROL.test(value)
}
