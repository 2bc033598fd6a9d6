import type { CredentialView } from '../src/credential/index.ts'
import type { AttackState } from './messages.ts'
import type { Paint, Screen } from './screen.ts'
import { type ConsumerSum, type Reached, STEPS } from './tally.ts'

const NAME_CHARS = 11
const STEP_CHARS = 12
const NARROW_CHARS = 8
const BAR_CHARS = 12
/** The bar of a system, from what is done to what is not. */
const SHADES = ['█', '▓', '▒', '░', '·'] as const

const number = new Intl.NumberFormat('en')

/** A whole number as people read it. */
export function count(value: number): string {
  return number.format(value)
}

/** `1 credential`, `2 credentials`. */
export function some(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}

/** Which credentials are in the store, by owner and system, from the inventory. */
export function scopeLines(screen: Screen, scope: readonly CredentialView[], systems: readonly string[]): string[] {
  const owners = [...new Set(scope.map(({ owner }) => owner ?? 'nobody'))].sort()
  const cell = (value: number) => (value === 0 ? '·' : String(value)).padStart(NAME_CHARS)
  const row = (name: string, own: readonly CredentialView[]) => {
    const cells = systems.map((system) => cell(own.filter((one) => one.system === system).length))
    return `  ${name.padEnd(16)}${cells.join('')}${cell(own.length)}`
  }
  const strategies = ['in-place', 'alternating', 'dual'].map((one) =>
    row(
      one,
      scope.filter(({ strategy }) => strategy === one),
    ),
  )
  return [
    screen.paint(`  ${'owner'.padEnd(16)}${[...systems, 'all'].map((name) => name.padStart(NAME_CHARS)).join('')}`, 'dim'),
    ...owners.map((owner) =>
      row(
        owner,
        scope.filter((one) => (one.owner ?? 'nobody') === owner),
      ),
    ),
    screen.paint('  by strategy', 'dim'),
    ...strategies,
    screen.paint(row('all', scope), 'bold'),
  ]
}

/** The table of the rotation: a row for each system and one for all. Narrow terminals get short heads and no bars. */
export function progressLines(screen: Screen, rows: readonly Reached[], all: Reached): string[] {
  const narrow = screen.width() < 100
  const chars = narrow ? NARROW_CHARS : STEP_CHARS
  const heads = STEPS.map(({ name, short }) => (narrow ? short : name).padStart(chars))
  const head = screen.paint(`  ${'system'.padEnd(NAME_CHARS)}${heads.join('')}`, 'dim')
  return [head, ...[...rows, all].map((row) => progressRow(screen, row, narrow, row === all))]
}

function progressRow(screen: Screen, { system, total, steps, blocked }: Reached, narrow: boolean, last: boolean): string {
  const cells = steps.map((value, index) => {
    const ends = index === steps.length - 1
    const text = (ends ? `${value}/${total}` : String(value)).padStart(narrow ? NARROW_CHARS : STEP_CHARS)
    return ends && value === total ? screen.paint(text, 'green', 'bold') : text
  })
  const trouble = blocked > 0 ? screen.paint(`  ${blocked} blocked`, 'red') : ''
  const name = screen.paint(system.padEnd(NAME_CHARS), ...(last ? (['bold'] as const) : []))
  return `  ${name}${cells.join('')}${narrow ? '' : `  ${bar(steps, total)}`}${trouble}`
}

/** Proven dead, retired, activated, installed, and the rest. */
function bar(steps: readonly number[], total: number): string {
  if (total === 0) return ''
  const ends = [5, 4, 3, 1].map((step) => Math.round(((steps[step] ?? 0) / total) * BAR_CHARS))
  let drawn = 0
  const parts = ends.map((end, index) => {
    const chars = Math.max(0, end - drawn)
    drawn = Math.max(drawn, end)
    return (SHADES[index] ?? '').repeat(chars)
  })
  return parts.join('') + SHADES[4].repeat(BAR_CHARS - drawn)
}

/** What the attacker can do at this moment. */
export function attackText(screen: Screen, state: AttackState | null): string {
  if (state === null) return 'has not tried yet'
  const tone = (value: number): Paint[] => (value > 0 ? ['red', 'bold'] : ['green', 'bold'])
  const accepted = screen.paint(`${state.accepted} of ${state.values}`, ...tone(state.accepted))
  const sessions = screen.paint(count(state.sessions), ...tone(state.sessions))
  const unclear = state.unclear > 0 ? `, ${state.unclear} without an answer` : ''
  return `${accepted} leaked values work, ${sessions} stolen sessions open${unclear}`
}

/** How the consumers are. */
export function consumerText(screen: Screen, sum: ConsumerSum): string {
  if (sum.consumers === 0) return 'none has told of itself yet'
  const connected = `${sum.connected} of ${sum.consumers} work`
  const failed = sum.failed === 0 ? '0 failed' : screen.paint(`${count(sum.failed)} failed`, 'yellow')
  return `${connected}, ${count(sum.requests)} requests, ${failed}, worst ${count(sum.longestOutageMs)} ms`
}

/** `label` and what belongs to it, in two columns. */
export function labelled(screen: Screen, label: string, text: string): string {
  return `  ${screen.paint(label.padEnd(NAME_CHARS + 5), 'dim')}${text}`
}

/** Minutes and seconds. */
export function clockText(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}
