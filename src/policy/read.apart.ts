/** Policies that somebody wrote, read in a process of their own: nothing in them reaches what decides, or keeps the server from its work. */
import { type ApartFaults, type Ctx, RekeyError, type Talk, Turns, withChild } from '../kernel/index.ts'
import type { Ask, ReadJob, ReadWord } from './read.wire.ts'
import type { Policy, PolicyFile } from './set.model.ts'
import { knownPolicies, type PolicySet, remembered, textFaults } from './set.ts'

/**
 * What reading one set may take. 200 policies took 1 to 2 s, most of it for starting; of such that are open to any action and thing, which
 * take longest to check, a thousand took 8 s. Of a set in force it is known that it can be read: a machine that is busy is waited for.
 */
const LIMIT_MS = { proposed: 20_000, 'in force': 60_000 } as const
const LIMIT_MB = 512
const WASM_PAGES = (LIMIT_MB * 1024) / 64
/** Sets that may wait for their turn. */
const WAITING_MAX = 8

/** What somebody proposes never keeps the set in force waiting: each has a place of its own. */
export type Lane = keyof typeof LIMIT_MS
const turns: Readonly<Record<Lane, Turns>> = { proposed: new Turns(WAITING_MAX), 'in force': new Turns(WAITING_MAX * 8) }

/** Bounds of one reading. Tests set them lower, and run programs that die. */
export interface ReadLimits {
  readonly ms: number
  readonly mb: number
  readonly program: URL
}

const PROGRAM = new URL('./read.child.ts', import.meta.url)

const refused = (what: string) =>
  new RekeyError('bad_input', `The policies cannot be read: ${what}.`, {
    hint: 'Keep fewer policies and plainer conditions, and name in each the actions and the type of thing that it is about.',
  })

const faultsOf = (ms: number): ApartFaults => ({
  busy: () => new RekeyError('unavailable', 'Other policies are being read.', { hint: 'Try again in a minute.' }),
  gone: () => new RekeyError('unavailable', 'Nobody waits for the policies any more.'),
  tooMuch: (of) => refused(of === 'time' ? `it takes more than ${ms / 1_000} s` : 'it takes more memory than a set may'),
  died: (detail, hint) => new RekeyError('internal', 'The reader of policies died.', { detail, ...(hint === undefined ? {} : { hint }) }),
  notStarted: (detail) => new RekeyError('unavailable', 'The reader of policies cannot be started.', { detail }),
})

/**
 * As `readPolicies`, for what somebody wrote: in a process of its own, one after the other, with bounds of time and memory. A set that
 * this process holds already is not read again. Throws `policy_invalid` with every fault; `bad_input` if it takes more time or memory than
 * a set may or makes Cedar fail; `unavailable` if too many wait, no process can be started, or `ctx.signal` aborts; `internal` if it dies.
 */
export async function readPoliciesApart(
  ctx: Ctx,
  files: readonly PolicyFile[],
  lane: Lane,
  limits: Partial<ReadLimits> = {},
): Promise<PolicySet> {
  const known = knownPolicies(files)
  if (known !== null) return known
  const faults = textFaults(files)
  if (faults.length > 0) throw new RekeyError('policy_invalid', `The policies have ${faults.length} fault(s).`, { faults })
  return inChild(ctx, { files, asks: null, now: ctx.clock.now() }, lane, limits, async ({ words }) => {
    const policies: Policy[] = []
    for await (const word of words) {
      if ('policies' in word) policies.push(...word.policies)
      else if ('typesNamed' in word) return remembered({ files, policies, typesNamed: word.typesNamed })
    }
    throw new RekeyError('internal', 'The reader of policies said nothing.')
  })
}

/** What a set that was read decides of the installation as a whole, in a process of its own. Throws as `readPoliciesApart`. */
export async function decideApart(ctx: Ctx, { files }: PolicySet, asks: readonly Ask[], lane: Lane): Promise<readonly boolean[]> {
  return inChild(ctx, { files, asks, now: ctx.clock.now() }, lane, {}, async ({ words }) => {
    for await (const word of words) if ('answers' in word) return word.answers
    throw new RekeyError('internal', 'The reader of policies said nothing.')
  })
}

function inChild<T>(
  ctx: Ctx,
  job: ReadJob,
  lane: Lane,
  { ms = LIMIT_MS[lane], mb = LIMIT_MB, program = PROGRAM }: Partial<ReadLimits>,
  use: (talk: Talk<ReadWord>) => Promise<T>,
): Promise<T> {
  const faults = faultsOf(ms)
  const bounds = { ms, mb, program, flags: [`--wasm-max-mem-pages=${WASM_PAGES}`] }
  return turns[lane].inTurn(ctx, faults, () =>
    withChild<ReadWord, T>(ctx, bounds, faults, (talk) => {
      talk.say(job)
      return use({ ...talk, words: good(talk.words, faults) })
    }),
  )
}

/** The words of a child that goes well. Throws what another one says of itself. */
async function* good(words: AsyncIterable<ReadWord>, faults: ApartFaults): AsyncGenerator<ReadWord> {
  for await (const word of words) {
    if ('message' in word) throw new RekeyError('policy_invalid', word.message, { faults: word.faults ?? [] })
    if ('trapped' in word) throw refused('they go too deep for the engine')
    if ('died' in word) throw faults.died(word.died)
    yield word
  }
}
