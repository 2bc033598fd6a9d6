import type { Json } from '../kernel/index.ts'
import type { BundleContent, BundleEvent } from './bundle.model.ts'
import { canonicalJson } from './canonical.ts'
import { type EventBody, isObject, LOGS, type LogName } from './event.ts'

/** An event with its place in its log. */
export interface Step {
  readonly log: LogName
  readonly index: number
  readonly event: EventBody
}

/** How a rotation stood at its last event. `running` is neither an end nor a stop. */
export type Ending = 'proven dead' | 'not provable' | 'blocked' | 'undone' | 'irrevocable' | 'running'

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
  /** Why it is blocked or not provable. */
  readonly trouble: string
  /** Time in which neither value was usable, milliseconds; `null` if it was not measured. */
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
  readonly others: readonly Step[]
}

const ENDINGS = new Map<string, Ending>([
  ['rotation.proven_dead', 'proven dead'],
  ['rotation.not_provable', 'not provable'],
  ['rotation.blocked', 'blocked'],
  ['rotation.undone', 'undone'],
  ['rotation.irrevocable', 'irrevocable'],
])
const OF_CREDENTIAL = /^(credential|version|rotation|override)\./

/** Tells the story of a bundle. Total: any content that can be read can be told, unknown events included. */
export function tellStory({ logs }: BundleContent): Story {
  const steps = LOGS.flatMap((log) => logs[log].events.map(({ index, event }: BundleEvent): Step => ({ log, index, event })))
  const systems = new Map(
    steps.filter(({ event }) => event.type.startsWith('system.')).map(({ event }) => [link(event, 'system'), event.subject]),
  )
  const credentials = new Map<string, Step[]>()
  const others: Step[] = []
  for (const step of steps) {
    const key = step.log === 'credential' && OF_CREDENTIAL.test(step.event.type) ? link(step.event, 'credential') || step.event.subject : ''
    if (key === '') others.push(step)
    else grouped(credentials, key).push(step)
  }
  const told = [...credentials.values()].map((own) => tellCredential(own, systems))
  return { credentials: told.sort((a, b) => (a.name < b.name ? -1 : 1)), others }
}

/** A value inside an event's data by its path, as text; empty if it is not there. */
export function dataText(event: EventBody | undefined, ...path: readonly string[]): string {
  let value: Json | undefined = event?.data
  for (const key of path) value = value !== undefined && isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
  return value === undefined || value === null ? '' : typeof value === 'object' ? canonicalJson(value) : String(value)
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
  const told = [...rotations].map(([id, own]) => tellRotation(id, name, own, systems))
  return { name, rotations: told.map((one) => (one.strategy === '' ? { ...one, strategy } : one)), others }
}

function tellRotation(id: string, credential: string, steps: readonly Step[], systems: ReadonlyMap<string, string>): RotationStory {
  const find = (type: string) => steps.findLast(({ event }) => event.type === type)?.event
  const anyLink = (what: string) => steps.map(({ event }) => link(event, what)).findLast((text) => text !== '') ?? ''
  const planned = find('rotation.planned')
  const last = steps.filter(({ event }) => event.type.startsWith('rotation.')).at(-1)?.event
  const ending = ENDINGS.get(last?.type ?? '') ?? 'running'
  const gap = Number.parseFloat(dataText(find('rotation.proven_dead'), 'gapMs'))
  return {
    id,
    credential,
    system: systems.get(anyLink('system')) ?? anyLink('system'),
    strategy: dataText(planned, 'strategy'),
    reason: dataText(planned, 'reason'),
    by: dataText(planned, 'by') || (planned ?? steps[0]?.event)?.actor || '',
    oldVersion: numbered(dataText(find('rotation.proven_dead'), 'oldVersion')) || anyLink('from'),
    newVersion: numbered(dataText(find('rotation.proven_dead') ?? find('rotation.installed'), 'newVersion')) || anyLink('to'),
    ending,
    trouble: ending === 'proven dead' ? '' : dataText(last, 'reason'),
    gapMs: Number.isFinite(gap) ? gap : null,
    steps,
  }
}

/** `v2` for 2: what people call a version; its id stands in the links of every event. */
function numbered(number: string): string {
  return number === '' ? '' : `v${number}`
}

function link(event: EventBody, what: string): string {
  return Object.hasOwn(event.links, what) ? (event.links[what] ?? '') : ''
}

function grouped(groups: Map<string, Step[]>, key: string): Step[] {
  const group = groups.get(key) ?? []
  groups.set(key, group)
  return group
}
