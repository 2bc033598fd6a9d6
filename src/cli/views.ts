import type { Intervention, RotationDetail, RotationView } from '../credential/index.ts'
import { printable } from '../kernel/index.ts'
import { EXIT } from './exit.ts'
import type { Column, Output } from './output.ts'
import { shortTime, span } from './text.ts'

type State = RotationView['state']

/** What people read for a state. */
export function stateText(state: State): string {
  return state.replaceAll('_', ' ')
}

const FINISHED_KEYS = [
  'rotation',
  'credential',
  'state',
  'oldVersion',
  'newVersion',
  'installedAt',
  'verifiedAt',
  'activatedAt',
  'retiredAt',
  'provedDeadAt',
  'gapMs',
  'reason',
] as const satisfies (keyof RotationView)[]

/** What `rotation start --wait --json` prints of a finished rotation: these keys and no others, in this order. */
export function finishedObject(view: RotationView): object {
  return Object.fromEntries(FINISHED_KEYS.map((key) => [key, view[key]]))
}

const COLORS: Partial<Record<State, number>> = {
  proven_dead: 32,
  blocked: 31,
  irrevocable: 35,
  not_provable: 33,
  undone: 33,
  taken_over: 33,
}

/** A rotation in one line, and its reason and what to do in further ones if a human is wanted. */
export function rotationLines(view: RotationView, color: boolean): string[] {
  const code = COLORS[view.state]
  const word = stateText(view.state)
  const state = color && code !== undefined ? `\u001b[${code}m${word}\u001b[0m` : word
  const versions = `v${view.oldVersion ?? '-'} -> v${view.newVersion ?? '-'}`
  const gap = view.gapMs === null ? [] : [view.gapMs === 0 ? 'no gap' : `gap ${gapText(view.gapMs)}`]
  const first = [state, printable(view.credential), versions, ...gap, printable(view.rotation)].join('  ')
  const reason = view.reason === null ? [] : [`    ${printable(view.reason)}`]
  return [first, ...reason, ...(view.hint === null ? [] : [`    ${printable(view.hint)}`])]
}

/** `none` where the old value and the new one both worked all the time. */
function gapText(ms: number): string {
  return ms === 0 ? 'none' : `${Math.round(ms)} ms`
}

/** The rotation with every time that it has; ages at `now`. */
export function showRotation(view: RotationDetail, now: Date, out: Output): void {
  const was = view.blockedFrom ? `, was ${stateText(view.blockedFrom)}` : ''
  const ended = view.endedAt ?? view.blockedAt
  const since = ended === null ? `started ${age(view.createdAt, now)} ago` : `since ${age(ended, now)}`
  out.fields(view, [
    ['rotation', view.rotation],
    ['credential', view.credential],
    ['system', view.system],
    ['state', `${stateText(view.state)}${was}, ${since}`],
    ['reason', view.reason],
    ['what to do', view.hint],
    ['versions', `${view.oldVersion ?? '-'} -> ${view.newVersion ?? '-'}`],
    ['started by', view.orderedBy ?? view.startedBy],
    ['because', view.startReason],
    ['created', shortTime(view.createdAt)],
    ...TIMES.flatMap(([name, key]) => (view[key] === null ? [] : [[name, shortTime(view[key])] as const])),
    ['gap', view.gapMs === null ? null : gapText(view.gapMs)],
    ['tries', view.tries > 0 ? view.tries : null],
    ...view.interventions.map((one) => [INTERVENTIONS[one.what], interventionText(one)] as const),
  ])
}

const INTERVENTIONS: Readonly<Record<Intervention['what'], string>> = {
  undo: 'undo ordered',
  retry: 'retry ordered',
  'override-activation': 'activation overridden',
  irrevocable: 'old value given up',
}

/** When, by whom and why. Whose word it was is what whoever asked said. */
function interventionText({ at, actor, by, reason }: Intervention): string {
  return `${shortTime(at)} by ${by === null ? actor : `${by} (${actor})`}${reason === null ? '' : `: ${reason}`}`
}

const TIMES = [
  ['staged', 'stagedAt'],
  ['installed', 'installedAt'],
  ['verified', 'verifiedAt'],
  ['distributed', 'distributedAt'],
  ['activated', 'activatedAt'],
  ['retired', 'retiredAt'],
  ['proved dead', 'provedDeadAt'],
  ['blocked', 'blockedAt'],
  ['ended', 'endedAt'],
] as const

/** How long ago, in the two largest units. */
export function age(at: string | null, now: Date): string {
  return at === null ? '-' : span(now.getTime() - new Date(at).getTime())
}

/** Columns of a list of rotations; ages at `now`. */
export function rotationColumns(now: Date): Column<RotationView>[] {
  return [
    { head: 'ROTATION', of: (it) => it.rotation },
    { head: 'CREDENTIAL', of: (it) => it.credential },
    { head: 'STATE', of: (it) => stateText(it.state) },
    { head: 'AGE', of: (it) => age(it.endedAt ?? it.blockedAt ?? it.createdAt, now), right: true },
    { head: 'GAP MS', of: (it) => (it.gapMs === null ? null : Math.round(it.gapMs)), right: true },
    { head: 'REASON', of: (it) => it.reason },
  ]
}

/** The exit status that says how rotations ended. Blocked wins over irrevocable, not provable and taken over, those over undone. */
export function exitOfStates(states: Iterable<State>): number {
  const all = new Set(states)
  if (all.has('blocked')) return EXIT.blocked
  if (all.has('irrevocable') || all.has('not_provable') || all.has('taken_over')) return EXIT.notProven
  return all.has('undone') ? EXIT.undone : EXIT.ok
}
