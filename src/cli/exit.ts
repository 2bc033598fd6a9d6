import { type ErrorCode, RekeyError } from '../kernel/index.ts'

/** Exit statuses of `rekey`, as docs/guide/cli.md lists them. */
export const EXIT = {
  ok: 0,
  /** Not sound, findings, or the server refused or failed. */
  failed: 1,
  /** Usage or bad input. */
  usage: 2,
  /** A rotation is blocked. */
  blocked: 3,
  /** A rotation ended irrevocable or not provable. */
  notProven: 4,
  /** A rotation was undone. */
  undone: 5,
  /** No server can be reached. */
  noServer: 6,
  /** What was to be done has begun; waiting for it was refused. */
  notFollowed: 7,
  interrupted: 130,
  /** Whoever read the output stopped reading (128 + SIGPIPE). */
  outputClosed: 141,
} as const

const BAD_INPUT: readonly ErrorCode[] = ['bad_input', 'fleet_invalid', 'policy_invalid', 'too_large', 'config_invalid']

/** No server answers, or it went away in the middle of an answer. */
export class NoServer extends RekeyError {
  constructor(url: string, extra: { readonly lost: boolean; readonly cause?: unknown }) {
    const message = extra.lost ? `The connection to ${url} was lost.` : `No server answers at ${url}.`
    super('unavailable', message, { hint: 'Start one with `rekey serve`, or say where it is with REKEY_URL.', cause: extra.cause })
  }
}

/** Ctrl-C at a prompt. */
export class Interrupted extends Error {}

/** The exit status that an error ends with. */
export function exitOf(error: unknown): number {
  if (error instanceof Interrupted) return EXIT.interrupted
  if (error instanceof NoServer) return EXIT.noServer
  if (error instanceof RekeyError && BAD_INPUT.includes(error.code)) return EXIT.usage
  return EXIT.failed
}
