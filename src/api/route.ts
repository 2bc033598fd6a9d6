import type { Readable } from 'node:stream'
import type { z } from 'zod'
import type { SessionHolder } from '../identity/index.ts'
import type { Browser } from '../identity/login/index.ts'
import type { Ctx, ErrorCode } from '../kernel/index.ts'
import type { Action, Allowed, PolicySet, Principal } from '../policy/index.ts'
import type { BatchWatch } from './events.ts'
import type { ApiParts } from './parts.ts'

/** Request body of everything but fleet files, bytes. */
export const BODY_BYTES = 64 * 1024

/** One kind of answer of a route. */
export interface AnswerSpec {
  readonly what: string
  /** Null: no body, or a body that is not JSON. */
  readonly schema: z.ZodType | null
  /** Content type, if it is not JSON. */
  readonly type?: string
}

/** What a handler answers. */
export interface Answer {
  readonly status: number
  readonly body?: unknown
  /** A body that is not JSON. */
  readonly text?: string | Readable
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
}

/** What a handler is given. Without an action there is no permission and nobody who asks. */
export interface Call<A extends Action | null, P, Q, B> {
  readonly parts: ApiParts
  readonly ctx: Ctx
  readonly may: [A] extends [null] ? null : Allowed<Exclude<A, null>> | Extract<A, null>
  readonly principal: A extends Action ? Principal : null
  /** Who asks, by what the request came with, looked at once more: for answers that take long. Null once it counts no more. */
  readonly again: [A] extends [null] ? null : (() => Promise<Caller<Exclude<A, null>> | null>) | Extract<A, null>
  /** The session that the request came under; null for a token. */
  readonly session: SessionHolder | null
  /** The browser that asks, for routes of logins. Throws `unavailable` where the server does not know its own address. */
  readonly browser: () => Browser
  /** Where browsers find this server's pages; null if it does not know. */
  readonly pages: () => string | null
  readonly params: P
  readonly query: Q
  readonly body: B
  /** The document of this server's own interface. */
  readonly openapi: () => unknown
  readonly metrics: () => Promise<string>
  /** Who follows which batch at this server. */
  readonly batches: BatchWatch
}

interface Spec {
  readonly method: 'GET' | 'POST'
  /** As fastify writes it: `/v1/rotations/:id`. */
  readonly path: `/${string}`
  /** One sentence for the document. */
  readonly summary: string
  /** Statuses of success. Any other than these and those of `problems` is logged as undeclared, which fails tests. */
  readonly answers: Readonly<Record<number, AnswerSpec>>
  /** Problems of this route's own; those that any route may have are added. */
  readonly problems: readonly ErrorCode[]
  /** True: an `Idempotency-Key` is honoured. */
  readonly startsWork?: true
  /** True: answers only pages of this server, though nobody has logged in yet. With a session that goes without saying. */
  readonly ownPages?: true
  readonly bodyBytes?: number
  /** True: what it does outside comes before its first transaction, which only records it: nothing may stop that. */
  readonly recordsLate?: true
  /** True: not counted, because those who ask decide whether this process lives, and the answer costs next to nothing. */
  readonly unlimited?: true
}

interface Schemas<P, Q, B> {
  readonly params?: z.ZodType<P>
  readonly query?: z.ZodType<Q>
  readonly body?: z.ZodType<B>
  /** What of the body an `Idempotency-Key` is bound to, where all of it would be too much to keep. */
  readonly boundBy?: (body: B) => unknown
}

/** A route as the server sees it: the types of its inputs are its own matter. */
export interface Route extends Spec, Schemas<unknown, unknown, unknown> {
  /** Null: open to everybody, without a token. */
  readonly action: Action | null
  readonly handle: (call: Call<Action | null, unknown, unknown, unknown>) => Promise<Answer>
}

/** Who asks, once a token or a session has been accepted. */
export interface Caller<A extends Action = Action> {
  readonly principal: Principal
  readonly session: SessionHolder | null
  readonly may: Allowed<A>
  /** The policies by which that was decided. */
  readonly set: PolicySet
}

/** Declares a route. Authentication, permission, validation, idempotency and errors are the server's; `handle` only does its work. */
export function route<A extends Action | null, P = undefined, Q = undefined, B = undefined>(
  spec: Spec & Schemas<P, Q, B> & { readonly action: A; readonly handle: (call: Call<A, P, Q, B>) => Promise<Answer> },
): Route {
  // Sound: the server calls `handle` only with what these very schemas returned and with the permission for this very action.
  return spec as unknown as Route
}
