import type { EventBody } from './event.ts'
import { dataText, grouped, link, type Step } from './report.step.ts'

/** One credential of an identity that was suspended or left. Texts are empty where no event says anything. */
export interface ClosedCredential {
  readonly name: string
  readonly system: string
  /** Why it went this way, and who else uses it. */
  readonly why: string
  readonly consumers: string
  /** The last state that events tell of it, `proven_dead` for example. */
  readonly state: string
  /** The event that says so. */
  readonly last: EventBody
  /** The rotation that was made for those who use it too. */
  readonly rotation: string
}

/** A change of an identity's status, as the record tells it: what a closure follows from. */
export interface Order {
  readonly what: 'suspended' | 'resumed' | 'offboarded'
  readonly by: string
  readonly at: string
  readonly reason: string
}

/** What became of the credentials of one identity, as the events of one closure tell it. */
export interface ClosureStory {
  readonly id: string
  readonly identity: string
  /** `suspend`, `resume` or `destroy`, as it was last. */
  readonly goal: string
  readonly reason: string
  /** How it stands as a whole; empty if nothing says so. */
  readonly state: string
  readonly orders: readonly Order[]
  /** Sessions and tokens that were stopped at its opening, and each time that it was turned. */
  readonly stopped: readonly string[]
  readonly credentials: readonly ClosedCredential[]
  readonly steps: readonly Step[]
}

const OF_CLOSURE = /^(closure|logins)\./
const ORDERS = new Map([
  ['identity.suspended', 'suspended'],
  ['identity.resumed', 'resumed'],
  ['identity.offboarded', 'offboarded'],
] as const)

/** The closures of a bundle, and the steps that are of none. The orders stay among the rest: the record is their place. */
export function tellClosures(
  steps: readonly Step[],
  systems: ReadonlyMap<string, string>,
): { readonly closures: readonly ClosureStory[]; readonly rest: readonly Step[] } {
  const found = new Map<string, Step[]>()
  const rest: Step[] = []
  for (const step of steps) {
    const id = step.log === 'credential' && OF_CLOSURE.test(step.event.type) ? link(step.event, 'closure') : ''
    if (id === '') rest.push(step)
    else grouped(found, id).push(step)
  }
  const orders = rest.filter(({ log, event }) => log === 'identity' && ORDERS.has(event.type as 'identity.suspended'))
  // An order belongs to the closure that it opened or turned: of one that ended before, it is not.
  const told = new Map<string, string>()
  const closures = [...found].map(([id, own]) => {
    const identity = own.map(({ event }) => link(event, 'identity')).find((text) => text !== '') ?? ''
    const [since, until] = [told.get(identity) ?? '', own.at(-1)?.event.at ?? '']
    told.set(identity, until)
    const ofThis = orders.filter(({ event }) => link(event, 'identity') === identity && event.at > since && event.at <= until)
    return tellClosure(id, own, identity === '' ? [] : ofThis, systems)
  })
  return { closures, rest }
}

function tellClosure(id: string, steps: readonly Step[], orders: readonly Step[], systems: ReadonlyMap<string, string>): ClosureStory {
  const whole = steps.map(({ event }) => event).filter(({ type }) => type.startsWith('closure.'))
  const turned = whole.filter(({ type }) => type !== 'closure.settled')
  const credentials = new Map<string, Step[]>()
  for (const step of steps.filter(({ event }) => event.type.startsWith('logins.'))) {
    grouped(credentials, link(step.event, 'credential') || step.event.subject).push(step)
  }
  return {
    id,
    identity: whole[0]?.subject ?? steps.map(({ event }) => link(event, 'identity')).find(Boolean) ?? '',
    goal: turned.map((event) => dataText(event, 'goal')).findLast((text) => text !== '') ?? '',
    reason: turned.map((event) => dataText(event, 'reason')).findLast((text) => text !== '') ?? '',
    state: dataText(
      whole.findLast(({ type }) => type === 'closure.settled'),
      'to',
    ),
    orders: orders.map(orderOf),
    stopped: turned.map((event) => dataText(event, 'stopped')).filter((text) => text !== ''),
    credentials: [...credentials.values()].flatMap((own) => tellCredential(own, systems)).sort((a, b) => (a.name < b.name ? -1 : 1)),
    steps,
  }
}

function orderOf({ event }: Step): Order {
  const what = ORDERS.get(event.type as 'identity.suspended') ?? 'suspended'
  return { what, by: event.actor, at: event.at, reason: dataText(event, 'reason') }
}

function tellCredential(steps: readonly Step[], systems: ReadonlyMap<string, string>): ClosedCredential[] {
  const last = steps.at(-1)?.event
  if (last === undefined) return []
  const anyLink = (what: string) => steps.map(({ event }) => link(event, what)).findLast((text) => text !== '') ?? ''
  const told = (key: string) => steps.map(({ event }) => dataText(event, key)).find((text) => text !== '') ?? ''
  const planned = steps.find(({ event }) => event.type === 'logins.planned')?.event
  // Of what is somebody else's the reason says more than who uses it too.
  const others = planned?.data.relation === undefined ? planned?.data.consumers : []
  return [
    {
      name: last.subject,
      system: systems.get(anyLink('system')) ?? anyLink('system'),
      why: told('why'),
      consumers: Array.isArray(others) ? others.map(String).join(', ') : '',
      state: last.type === 'logins.retried' ? dataText(last, 'from') : last.type.slice('logins.'.length),
      last,
      rotation: anyLink('rotation'),
    },
  ]
}
