import { type ApartFaults, type ApartLimits, type Ctx, isCode, RekeyError, type Talk, Turns, withChild } from '../kernel/index.ts'
import type { FleetOptions } from './fleet.check.ts'
import { type LinedFleet, parseWithLines } from './fleet.parse.ts'
import { died, type FleetAnswer, type FleetPart, type FleetQuestion, type FleetWord } from './fleet.wire.ts'

/**
 * Parsed in place up to here, characters. 85 credentials of this size kept the process for 17 ms, texts of nothing but brackets for
 * 80 to 90. A process of its own took 0.3 to 0.9 s for the same, nearly all of it for starting (two cores that ten others used too).
 */
const INLINE_CHARS = 16 * 1024
/**
 * What one file may take. 50,000 credentials in 4 MiB took 4 s and 0.5 GB; the worst 4 MiB (nothing but brackets or colons) would take
 * more than 3 GB, which ended the whole process when it was parsed in place. In a thread with a limit that still happened where the
 * engine's own code met it: only a process of its own keeps it from the others.
 */
const LIMIT_MS = 60_000
const LIMIT_MB = 1_024
/** Files that may wait for their turn. */
const WAITING_MAX = 8
const turns = new Turns(WAITING_MAX)

const LIMITS: ApartLimits = { ms: LIMIT_MS, mb: LIMIT_MB, program: new URL('./fleet.child.ts', import.meta.url) }

/**
 * As `parseWithLines`, but a large file is parsed in a process of its own, so that this one goes on answering and no file can end it.
 * Throws `fleet_invalid`; `too_large` if it takes more time or memory than a file may; `unavailable` if too many files wait already, if no
 * process can be started, or if `ctx.signal` aborts, which ends it; `internal` if it dies. It is gone before this resolves or rejects.
 * `limits`: tests set them lower, and run programs that die.
 */
export async function parseFleetApart(
  ctx: Ctx,
  text: string,
  options: FleetOptions,
  limits: Partial<ApartLimits> = {},
): Promise<LinedFleet> {
  if (text.length <= INLINE_CHARS) return parseWithLines(text, options)
  return turns.inTurn(ctx, FAULTS, () =>
    withChild<FleetWord, LinedFleet>(ctx, { ...LIMITS, ...limits }, FAULTS, (talk) => converse(talk, text, options)),
  )
}

const FAULTS: ApartFaults = {
  busy: () => new RekeyError('unavailable', 'Other large fleet files are being read.', { hint: 'Try again in a minute.' }),
  gone: () => new RekeyError('unavailable', 'Nobody waits for the fleet file any more.'),
  tooMuch: (of) =>
    new RekeyError('too_large', `The fleet file takes more ${of} to read than one file may; nothing was applied.`, {
      hint: 'Look for text that is no fleet file, or split the fleet.',
    }),
  died,
  notStarted: (code) =>
    new RekeyError('unavailable', 'The parser of fleet files cannot be started; nothing was applied.', { detail: code }),
}

/** Hands the text over and answers questions until there is a result. Throws why there is none. */
async function converse({ words, say }: Talk<FleetWord>, text: string, options: FleetOptions): Promise<LinedFleet> {
  say({ text })
  const parts: FleetPart[] = []
  for await (const word of words) {
    if ('connector' in word) say(answerTo(word, options))
    else if ('part' in word) parts.push(word.part)
    else if ('faults' in word) throw new RekeyError('fleet_invalid', word.message, { faults: word.faults })
    else if ('died' in word) throw died(word.died)
    else break
  }
  return joined(parts)
}

function joined(parts: readonly FleetPart[]): LinedFleet {
  return {
    fleet: {
      systems: parts.flatMap(({ fleet }) => fleet.systems),
      identities: parts.flatMap(({ fleet }) => fleet.identities),
      credentials: parts.flatMap(({ fleet }) => fleet.credentials),
    },
    lines: new Map(parts.flatMap(({ lines }) => lines)),
  }
}

/** Throws what a connector throws, unless it only refuses a name: the parse ends then. */
function answerTo({ connector, accounts }: FleetQuestion, options: FleetOptions): FleetAnswer {
  if (accounts === null) return { capabilities: options.knownConnector(connector) }
  return { refusals: accounts.flatMap((name) => refusalOf(options, connector, name)) }
}

/** The name and why it is refused; nothing if it is not. */
function refusalOf(options: FleetOptions, connector: string, name: string): [] | [readonly [string, string]] {
  try {
    options.checkAccount(connector, name)
    return []
  } catch (error) {
    if (isCode(error, 'bad_input')) return [[name, error.message]]
    throw error
  }
}
