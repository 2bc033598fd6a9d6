/** What closures look like on the terminal, and waiting for one. */
import type { ClosureItemView, ClosureView, PlanView } from '../credential/index.ts'
import { printable, RekeyError, sleep } from '../kernel/index.ts'
import type { Cli } from './cli.ts'
import type { Client } from './client.ts'
import { EXIT, NoServer } from './exit.ts'
import type { Column } from './output.ts'
import { shortTime } from './text.ts'

const PAUSE_MS = 500
/** How long a server may be away before waiting for it is given up. */
const PATIENCE_MS = 15 * 60_000
/** Where an item needs no more waiting, by what is waited for. */
const STILL: readonly string[] = ['blocked', 'handed_over', 'resumed', 'rotated', 'proven_dead', 'not_provable', 'irrevocable']

const words = (text: string) => text.replaceAll('_', ' ')

/** What each way does, for people. */
const DOES: Readonly<Record<PlanView['way'], string>> = { suspend: 'suspend, then destroy', rotate: 'rotate', hand_over: 'hand to a human' }

/** A suspension goes no further than the suspension. */
function planColumns(goal: 'suspend' | 'destroy'): Column<PlanView>[] {
  const atEnd = ({ destroys }: PlanView) => (goal === 'destroy' ? `; at the end ${destroys}` : '')
  return [
    { head: 'CREDENTIAL', of: (it) => it.credential },
    { head: 'SYSTEM', of: (it) => it.system },
    { head: 'WHAT', of: (it) => whatText(it, goal) },
    { head: 'BECAUSE', of: (it) => it.why },
    { head: 'ON THE SYSTEM', of: (it) => (it.suspends === null ? null : `${it.suspends}${atEnd(it)}`) },
    { head: 'ALSO USED BY', of: (it) => (it.consumers.length === 0 ? null : it.consumers.join(', ')) },
  ]
}

function whatText({ way, begins }: PlanView, goal: 'suspend' | 'destroy'): string {
  if (goal === 'suspend' && begins === 'offboarding') return `nothing; when it is offboarded: ${DOES[way]}`
  return goal === 'suspend' && way === 'suspend' ? 'suspend' : DOES[way]
}

/** Shows what would become of each credential of an identity that is suspended, or offboarded. */
export async function showPlan(cli: Cli, identityPath: string, goal: 'suspend' | 'destroy'): Promise<number> {
  const planned = await (await cli.client()).all<PlanView>(`${identityPath}/closure-plan`)
  cli.out.list(planned, planColumns(goal), 'It has no credential that could authenticate.')
  return EXIT.ok
}

/** Columns of a list of closures. */
export const CLOSURES: Column<ClosureView>[] = [
  { head: 'CLOSURE', of: (it) => it.closure },
  { head: 'IDENTITY', of: (it) => it.identity },
  { head: 'GOAL', of: (it) => it.goal },
  { head: 'STATE', of: (it) => words(it.state) },
  { head: 'CREDENTIALS', of: countsText },
  { head: 'STARTED', of: (it) => shortTime(it.createdAt) },
]

/** `3 proven dead, 1 handed over`. */
export function countsText({ counts }: ClosureView): string {
  const parts = Object.entries(counts).map(([state, count]) => `${count} ${words(state)}`)
  return parts.length === 0 ? 'none' : parts.join(', ')
}

/** Columns of the credentials of a closure. */
export const ITEMS: Column<ClosureItemView>[] = [
  { head: 'CREDENTIAL', of: (it) => it.credential },
  { head: 'SYSTEM', of: (it) => it.system },
  { head: 'STATE', of: (it) => words(it.state) },
  { head: 'WHO HAS IT', of: (it) => it.human && `${it.human.name} since ${shortTime(it.human.since)}` },
  { head: 'BECAUSE', of: (it) => it.reason ?? it.why },
  { head: 'TRIED AGAIN', of: (it) => it.nextTryAt && shortTime(it.nextTryAt) },
]

/** One finished credential in a line, with what to do if a human is wanted. */
function itemLines(it: ClosureItemView): string[] {
  const human = it.human === null ? '' : `  ${printable(it.human.name)}`
  const first = `${words(it.state)}  ${printable(it.credential)}${human}`
  return [first, ...[it.reason, it.hint].flatMap((text) => (text === null ? [] : [`    ${printable(text)}`]))]
}

/** The exit status that says how a closure stands. */
export function exitOfClosure({ state }: ClosureView): number {
  if (state === 'waiting') return EXIT.blocked
  return state === 'closed_unproven' ? EXIT.notProven : EXIT.ok
}

/**
 * Waits until every credential of the identity has come to the goal or to a human, and prints each as it does. Ctrl-C ends only the
 * waiting. Throws `NoServer` after 15 minutes without one.
 */
export async function waitForClosure(cli: Cli, identity: string, goal: ClosureView['goal']): Promise<number> {
  const client = await cli.client()
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal)
  const told = new Set<string>()
  let heardMs = cli.clock.monotonicMs()
  try {
    while (!stop.signal.aborted) {
      try {
        const done = await look(cli, client, { identity, goal, told })
        if (done !== null) return done
        heardMs = cli.clock.monotonicMs()
      } catch (error) {
        const passing = error instanceof NoServer || (error instanceof RekeyError && error.code === 'unavailable')
        if (!passing || cli.clock.monotonicMs() - heardMs > PATIENCE_MS) throw error
      }
      await sleep(PAUSE_MS, stop.signal)
    }
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal)
  }
  cli.out.note('rekey: stopped waiting; it goes on. See: rekey closure list')
  return EXIT.interrupted
}

interface Waited {
  readonly identity: string
  readonly goal: ClosureView['goal']
  readonly told: Set<string>
}

/** The exit status if nothing is left to wait for. */
async function look({ out, clock }: Cli, client: Client, { identity, goal, told }: Waited): Promise<number | null> {
  const [closure] = await client.all<ClosureView>('/v1/closures', { identity }, 1)
  // A resume of who has no closure, or the change not yet taken.
  if (closure === undefined) return goal === 'resume' ? EXIT.ok : null
  if (closure.goal !== goal && closure.goal !== 'destroy') return goal === 'resume' && closure.endedAt !== null ? EXIT.ok : null
  const items = await client.all<ClosureItemView>(`/v1/closures/${closure.closure}/credentials`)
  const resting = goal === 'suspend' || isLater(closure, clock.now()) ? [...STILL, 'suspended'] : STILL
  for (const item of items.filter(({ credential, state }) => resting.includes(state) && !told.has(credential))) {
    told.add(item.credential)
    if (out.json) out.object({ closure: closure.closure, ...item })
    else for (const line of itemLines(item)) out.line(line)
  }
  if (items.some(({ state }) => !resting.includes(state))) return null
  if (isLater(closure, clock.now()) && !out.json) out.note(`What is suspended is destroyed after ${shortTime(closure.destroyAt)}.`)
  if (closure.state === 'suspending' || closure.state === 'resuming') return null
  if (closure.state === 'destroying' && !isLater(closure, clock.now())) return null
  return exitOfClosure(closure)
}

function isLater({ goal, destroyAt }: ClosureView, now: Date): boolean {
  return goal === 'destroy' && destroyAt !== null && new Date(destroyAt) > now
}
