import { isCode, printable, RekeyError } from '../kernel/index.ts'

/** Detail of the error, and code of the probe, when another server answers than the one on record. */
export const OTHER_SERVER = 'other_server'
/** Code of a probe that was let in, when the server could not be asked which one it is. */
export const UNKNOWN_SERVER = 'server_not_confirmed'
/** Longer facts are cut: a server may say what it likes of itself. */
const FACT_CHARS = 200
/** What clocks and a slow answer may take from the time since a run was seen, seconds. */
const SLACK_SECONDS = 10

/** Which server answers, as it says itself. */
export interface ServerIdentity {
  /**
   * What stays over restarts, by the system's own names for it. Of two answers that name the same fact otherwise, one is another
   * server's. Empty: root may read nothing of that kind, so nothing can be told. No secrets, and fit to be shown.
   */
  readonly facts: Readonly<Record<string, string>>
  /**
   * Null: equal facts mean one server. Else they may be those of many, and only one run of a server can be told from another:
   * `id` names it, and it has lasted `upSeconds`.
   */
  readonly run: { readonly id: string; readonly upSeconds: number } | null
  /** The account as which the server takes root, in the spelling of `checkAccount`. */
  readonly account: string
}

/** A server that was met before. */
export interface KnownServer {
  readonly facts: ServerIdentity['facts']
  /** The run that answered then, and how many seconds before the making of the spec that was. */
  readonly run: { readonly id: string; readonly secondsAgo: number } | null
}

/** Facts as a server tells them, fit to be kept and shown; what it does not tell is left out. */
export function factsOf(told: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(told).flatMap(([name, value]) => {
      const text = value === null || value === undefined ? '' : printable(String(value)).slice(0, FACT_CHARS)
      return text === '' ? [] : [[name, text]]
    }),
  )
}

/**
 * What shows that another server answers than the one that is known; null if nothing does. `elapsedSeconds`: since the spec was made. Of
 * runs: one that had begun before the other was seen at the same place cannot be its restart.
 */
export function differenceOf(
  known: KnownServer | null | undefined,
  found: Pick<ServerIdentity, 'facts' | 'run'>,
  elapsedSeconds: number,
): string | null {
  if (known === null || known === undefined) return null
  const names = Object.keys(known.facts)
  const told = names.filter((name) => found.facts[name] !== undefined)
  const [first] = names
  if (first !== undefined && told.length === 0) return `it does not tell its ${first}`
  const other = told.find((name) => found.facts[name] !== known.facts[name])
  if (other !== undefined) return `${other} was ${known.facts[other]}, is ${found.facts[other]}`
  const { run } = known
  if (run === null || found.run === null || run.id === found.run.id) return null
  const sinceSeconds = run.secondsAgo + elapsedSeconds + SLACK_SECONDS
  return found.run.upSeconds > sinceSeconds ? 'it was running already when the other one answered' : null
}

/** `target_conflict`: another server answers. `difference` is what `differenceOf` found. */
export function otherServer(system: string, difference: string): RekeyError {
  return new RekeyError('target_conflict', `Another server answers for ${system} than the one on record: ${difference}.`, {
    hint: `If the system moved there, accept it: rekey system accept-server ${system}. If not, see to its address.`,
    detail: OTHER_SERVER,
  })
}

/** The code that an accepted probe gets instead, by what `differenceOf` found; null: it is the known server. */
export function doubtOf(difference: string | null): string | null {
  return difference === null ? null : OTHER_SERVER
}

/** As `doubtOf`, of a root login that only the known server passes. Rejects if it got no answer: then the probe has none either. */
export async function doubtAfter(confirmed: Promise<void>): Promise<string | null> {
  return confirmed.then(
    () => null,
    (error: unknown) => {
      if (isCode(error, 'target_unreachable')) throw error
      return isCode(error, 'target_conflict') && error.detail === OTHER_SERVER ? OTHER_SERVER : UNKNOWN_SERVER
    },
  )
}
