import type { BundleContent, BundleEvent } from './bundle.model.ts'
import { type EventBody, LOGS } from './event.ts'
import { type ClosureStory, tellClosures } from './report.closure.story.ts'
import { dataText, grouped, link, type Step } from './report.step.ts'
import { type Ending, endingAfter } from './report.words.ts'

/** One rotation, as its events tell it. Texts are empty where no event says anything. */
export interface RotationStory {
  readonly id: string
  readonly credential: string
  readonly system: string
  readonly strategy: string
  readonly reason: string
  readonly by: string
  readonly oldVersion: string
  readonly newVersion: string
  readonly ending: Ending
  /** Why it ended otherwise than with a proof of death, or is blocked. */
  readonly trouble: string
  /**
   * Time in which the consumers' files held only a dead value, milliseconds; `null` if it was not measured: there is no such file, or
   * it did not come so far.
   */
  readonly gapMs: number | null
  readonly steps: readonly Step[]
}

/** Everything the bundle tells of one credential. */
export interface CredentialStory {
  readonly name: string
  readonly rotations: readonly RotationStory[]
  /** Its events outside of any rotation. */
  readonly others: readonly Step[]
}

/** The bundle's events, put in order for people. Every event stands in exactly one place. */
export interface Story {
  readonly credentials: readonly CredentialStory[]
  /** Identities that were suspended or left, in the order in which it began. */
  readonly closures: readonly ClosureStory[]
  readonly others: readonly Step[]
}

const OF_CREDENTIAL = /^(consumer|credential|override|rotation|version)\./

/** Tells the story of a bundle. Total: any content that can be read can be told, unknown events included. */
export function tellStory({ logs }: BundleContent): Story {
  const steps = LOGS.flatMap((log) => logs[log].events.map(({ index, event }: BundleEvent): Step => ({ log, index, event })))
  const systems = new Map(
    steps.filter(({ event }) => event.type.startsWith('system.')).map(({ event }) => [link(event, 'system'), event.subject]),
  )
  const credentials = new Map<string, Step[]>()
  const { closures, rest } = tellClosures(steps, systems)
  const others: Step[] = []
  for (const step of rest) {
    const key = step.log === 'credential' && OF_CREDENTIAL.test(step.event.type) ? link(step.event, 'credential') || step.event.subject : ''
    if (key === '') others.push(step)
    else grouped(credentials, key).push(step)
  }
  const told = [...credentials.values()].map((own) => tellCredential(own, systems))
  return { credentials: told.sort((a, b) => (a.name < b.name ? -1 : 1)), closures, others }
}

/** The last step of a rotation with this type. */
export function stepOf(rotation: RotationStory, type: string): Step | undefined {
  return rotation.steps.findLast(({ event }) => event.type === type)
}

function tellCredential(steps: readonly Step[], systems: ReadonlyMap<string, string>): CredentialStory {
  const rotations = new Map<string, Step[]>()
  const others: Step[] = []
  for (const step of steps) {
    const id = link(step.event, 'rotation')
    if (id === '') others.push(step)
    else grouped(rotations, id).push(step)
  }
  const name = steps.at(-1)?.event.subject ?? ''
  // An order to rotate names no strategy: that is the credential's, said when it was declared or changed.
  const strategy = others.map(({ event }) => dataText(event, 'strategy')).findLast((text) => text !== '') ?? ''
  const numbers = numbersOf(steps)
  const told = [...rotations].map(([id, own]) => tellRotation(id, name, own, { systems, numbers }))
  return { name, rotations: told.map((one) => (one.strategy === '' ? { ...one, strategy } : one)), others }
}

/** What people call things, by the ids that events carry. */
interface Names {
  readonly systems: ReadonlyMap<string, string>
  readonly numbers: ReadonlyMap<string, string>
}

function tellRotation(id: string, credential: string, steps: readonly Step[], { systems, numbers }: Names): RotationStory {
  const find = (type: string) => steps.findLast(({ event }) => event.type === type)?.event
  const anyLink = (what: string) => steps.map(({ event }) => link(event, what)).findLast((text) => text !== '') ?? ''
  const planned = find('rotation.planned')
  const last = steps.findLast(({ event }) => endingAfter(event) !== null)?.event
  const ending = (last && endingAfter(last)) ?? 'under way'
  return {
    id,
    credential,
    system: systems.get(anyLink('system')) ?? anyLink('system'),
    strategy: dataText(planned, 'strategy'),
    reason: dataText(planned, 'reason'),
    by: dataText(planned, 'by') || (planned ?? steps[0]?.event)?.actor || '',
    oldVersion: numbers.get(anyLink('from')) ?? anyLink('from'),
    newVersion: numbers.get(anyLink('to')) ?? anyLink('to'),
    ending,
    trouble: troubleOf(ending, last, find('rotation.undo_requested')),
    gapMs: gapOf(find('rotation.distributed'), find('rotation.proven_dead')),
    steps,
  }
}

function troubleOf(ending: Ending, last: EventBody | undefined, undo: EventBody | undefined): string {
  if (ending === 'proven dead' || ending === 'under way') return ''
  const why = dataText(last, 'reason') || (ending === 'undone' ? dataText(undo, 'reason') : '')
  // The reason alone may be general; what to do about it names the thing.
  return [why, dataText(last, 'hint')].filter(Boolean).join(' ')
}

/** As measured when the files were written; without a file nobody was left with a dead value that Rekey knows of. */
function gapOf(distributed: EventBody | undefined, dead: EventBody | undefined): number | null {
  const consumers = distributed?.data.consumers
  const gap = distributed?.data.gapMs ?? dead?.data.gapMs
  if (typeof gap !== 'number') return null
  return gap > 0 && Array.isArray(consumers) && consumers.length === 0 ? null : gap
}

/** `v2` for the id of version 2, wherever an event tells the two together. */
function numbersOf(steps: readonly Step[]): Map<string, string> {
  const numbers = new Map<string, string>()
  for (const { event } of steps) {
    for (const [of, key] of [
      ['version', 'version'],
      ['to', 'version'],
      ['from', 'oldVersion'],
      ['to', 'newVersion'],
    ] as const) {
      const number = dataText(event, key)
      // An event of a consumer or of a value made anew may speak of another version than its links do.
      if (number !== '' && link(event, of) !== '' && event.type !== 'rotation.regenerated') numbers.set(link(event, of), `v${number}`)
    }
  }
  return numbers
}
