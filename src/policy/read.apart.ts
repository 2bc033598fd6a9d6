/**
 * Policies that somebody wrote, read in a process of their own: nothing in them reaches what decides, or keeps the server from its work.
 */
import { type ApartFaults, type ApartLimits, type Ctx, RekeyError, Turns, withChild } from '../kernel/index.ts'
import type { Ask, ReadJob, ReadWord } from './read.wire.ts'
import type { Policy, PolicyFile } from './set.model.ts'
import { knownPolicies, type PolicySet, rememberPolicies, textFaults } from './set.ts'

/**
 * What reading one set may take. 200 policies took 1 to 2 s, most of it for starting; of such that are open to any action and thing, which
 * take longest to check, a thousand took 8 s. Of a set in force it is known that it can be read: a machine that is busy is waited for.
 */
const LIMIT_MS = { proposed: 20_000, 'in force': 60_000 } as const
const LIMIT_MB = 512
/** Of 64 KiB each: the memory that Cedar itself takes is none of the engine's values. */
const FLAGS = [`--wasm-max-mem-pages=${(LIMIT_MB * 1024) / 64}`]
/** Sets that may wait for their turn. */
const WAITING_MAX = 8

/** What somebody proposes never keeps the set in force waiting: each has a place of its own. */
export type Lane = keyof typeof LIMIT_MS
const turns: Readonly<Record<Lane, Turns>> = { proposed: new Turns(WAITING_MAX), 'in force': new Turns(WAITING_MAX * 8) }

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

/** A set, and what it decides. */
export interface ReadAndAsked {
  readonly set: PolicySet
  /** In the order of the questions. */
  readonly answers: readonly boolean[]
}

/**
 * As `readPolicies`, for what somebody wrote: in a process of its own, one after the other, with bounds of time and memory. Throws
 * `policy_invalid` with every fault; `bad_input` if it takes more time or memory than a set may or makes Cedar fail; `unavailable` if too
 * many wait, no process can be started, or `ctx.signal` aborts; `internal` if it dies. What is asked is decided there as well. `limits`:
 * tests set them lower, and run programs that die.
 */
export async function readAndAsk(
  ctx: Ctx,
  files: readonly PolicyFile[],
  asks: readonly Ask[],
  lane: Lane,
  limits: Partial<ApartLimits> = {},
): Promise<ReadAndAsked> {
  const faults = textFaults(files, lane === 'in force')
  if (faults.length > 0) throw new RekeyError('policy_invalid', `The policies have ${faults.length} fault(s).`, { faults })
  const told = await inChild(ctx, { files, isChecked: false, isTried: lane === 'proposed', asks, now: ctx.clock.now() }, lane, limits)
  return { set: rememberPolicies({ files, policies: told.policies, typesNamed: told.typesNamed }), answers: told.answers }
}

/** The same without questions. A set that this process holds already is not read again. */
export async function readPoliciesApart(ctx: Ctx, files: readonly PolicyFile[], lane: Lane): Promise<PolicySet> {
  return knownPolicies(files) ?? (await readAndAsk(ctx, files, [], lane)).set
}

/** What a set that was read decides of the installation as a whole, in a process of its own. Throws as `readAndAsk`. */
export async function decideApart(ctx: Ctx, { files }: PolicySet, asks: readonly Ask[], lane: Lane): Promise<readonly boolean[]> {
  return (await inChild(ctx, { files, isChecked: true, isTried: false, asks, now: ctx.clock.now() }, lane, {})).answers
}

interface Told {
  readonly policies: readonly Policy[]
  readonly typesNamed: ReadonlySet<string>
  readonly answers: readonly boolean[]
}

async function gathered(words: AsyncIterable<ReadWord>, faults: ApartFaults): Promise<Told> {
  const policies: Policy[] = []
  let answers: readonly boolean[] = []
  for await (const word of words) {
    if ('policies' in word) policies.push(...word.policies)
    else if ('answers' in word) answers = word.answers
    else if ('typesNamed' in word) return { policies, answers, typesNamed: word.typesNamed }
    else if ('message' in word) throw new RekeyError('policy_invalid', word.message, { faults: word.faults ?? [] })
    else if ('trapped' in word) throw refused('the engine fails at them')
    else throw faults.died(word.died)
  }
  throw faults.died('without a word')
}

function inChild(ctx: Ctx, job: ReadJob, lane: Lane, limits: Partial<ApartLimits>): Promise<Told> {
  const bounds = { ms: LIMIT_MS[lane], mb: LIMIT_MB, program: PROGRAM, flags: FLAGS, ...limits }
  const faults = faultsOf(bounds.ms)
  return turns[lane].inTurn(ctx, faults, () =>
    withChild<ReadWord, Told>(ctx, bounds, faults, ({ words, say }) => {
      say(job)
      return gathered(words, faults)
    }),
  )
}
