import { type Clock, systemClock } from './clock.ts'

/** Where log lines go. Fields must be free of secrets (a `Secret` prints as `[secret]`). */
export interface Log {
  info(fields: Record<string, unknown>, message: string): void
  warn(fields: Record<string, unknown>, message: string): void
  error(fields: Record<string, unknown>, message: string): void
}

/** A log that keeps nothing. */
export const silentLog: Log = { info() {}, warn() {}, error() {} }

/** Who acts, on whose request, until when. First argument of everything that acts. */
export interface Ctx {
  /** `token:<token id>`, `person:<identity id>`, `worker:<process id>`, `cli`, …: what evidence names as the actor. */
  readonly actor: string
  /** What people call the actor at the moment: the name of the token or of the person. Null for programs of Rekey's own. */
  readonly actorName: string | null
  /** Identities that stand behind the actor, which what it makes remembers as its makers; null: nobody is on record. */
  readonly behind: readonly string[] | null
  /** How the actor proved itself, where one actor has several ways, by what they are of: evidence adds them to its links. */
  readonly proof: { readonly [what: string]: string }
  /** Joins log lines, problems and evidence of one request or one unit of work. */
  readonly requestId: string
  /** Aborts when nobody waits for the result any more, or the process stops. */
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly log: Log
}

/** A context for work that no request asked for: workers, start-up, offline commands. */
export function makeCtx(
  actor: string,
  requestId: string,
  parts: Partial<Pick<Ctx, 'actorName' | 'signal' | 'clock' | 'log' | 'behind' | 'proof'>> = {},
): Ctx {
  return {
    actor,
    actorName: parts.actorName ?? null,
    behind: parts.behind ?? null,
    proof: parts.proof ?? {},
    requestId,
    signal: parts.signal ?? new AbortController().signal,
    clock: parts.clock ?? systemClock,
    log: parts.log ?? silentLog,
  }
}
