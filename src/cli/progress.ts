import type { RotationView } from '../credential/index.ts'
import type { Clock } from '../kernel/index.ts'
import { counted, printable } from '../kernel/index.ts'
import type { Output } from './output.ts'
import { span } from './text.ts'
import { rotationLines, stateText } from './views.ts'

type State = RotationView['state']

/** How many rotations are in which state on which system. */
export interface Count {
  readonly system: string
  readonly state: State
  readonly count: number
}

/** The order in which states are shown: the way a rotation goes, its ends last. */
const ORDER: Readonly<Record<State, number>> = {
  planned: 0,
  staged: 1,
  installed: 2,
  verified: 3,
  distributed: 4,
  activated: 5,
  retiring: 6,
  retired: 7,
  undoing: 8,
  proven_dead: 9,
  undone: 10,
  not_provable: 11,
  irrevocable: 12,
  taken_over: 13,
  blocked: 14,
}
const FIRST_FINISHED = ORDER.proven_dead
const REDRAW_MS = 1000
/** Lines kept free of the display, so that the cursor never has to leave the screen. */
const SPARE_ROWS = 4

/** Shows how a batch goes on. `close` leaves the last state on the screen and writes nothing more. */
export interface Display {
  counts(counts: readonly Count[]): void
  finished(view: RotationView): void
  note(text: string): void
  close(): void
}

/** The display that fits: a live one on a terminal, JSON objects or plain lines otherwise. */
export function openDisplay(out: Output, clock: Clock, total: number, object: (view: RotationView) => object): Display {
  if (out.json) return { counts() {}, finished: (view) => out.object(object(view)), note() {}, close() {} }
  if (process.stderr.isTTY !== true) {
    return new PlainDisplay(out)
  }
  return new LiveDisplay(out, clock, total)
}

/** A line for each result; notes once, until something else was heard. */
class PlainDisplay implements Display {
  readonly #out: Output
  #note = ''

  constructor(out: Output) {
    this.#out = out
  }

  counts(): void {
    this.#note = ''
  }

  finished(view: RotationView): void {
    for (const line of rotationLines(view, this.#out.colors('stdout'))) this.#out.line(line)
  }

  note(text: string): void {
    if (text !== this.#note) this.#out.note(`rekey: ${text}`)
    this.#note = text
  }

  close(): void {}
}

/** Redraws a few lines at the bottom of standard error; finished rotations scroll away above them. */
class LiveDisplay implements Display {
  readonly #out: Output
  readonly #clock: Clock
  readonly #total: number
  readonly #startedMs: number
  readonly #timer: NodeJS.Timeout
  #counts: readonly Count[] = []
  #note = ''
  #drawn = 0

  constructor(out: Output, clock: Clock, total: number) {
    this.#out = out
    this.#clock = clock
    this.#total = total
    this.#startedMs = clock.monotonicMs()
    this.#timer = setInterval(() => this.#draw(), REDRAW_MS)
  }

  counts(counts: readonly Count[]): void {
    this.#counts = counts
    this.#note = ''
    this.#draw()
  }

  finished(view: RotationView): void {
    this.#erase()
    for (const line of rotationLines(view, this.#out.colors('stdout'))) this.#out.line(line)
    this.#draw()
  }

  note(text: string): void {
    this.#note = text
    this.#draw()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#draw()
    this.#drawn = 0
  }

  #erase(): void {
    if (this.#drawn > 0) process.stderr.write(`\u001b[${this.#drawn}A\u001b[J`)
    this.#drawn = 0
  }

  #draw(): void {
    // A terminal that does not know its size says 0.
    const [columns, rows] = [process.stderr.columns || 80, process.stderr.rows || 24]
    const lines = progressLines(this.#counts, this.#total, this.#clock.monotonicMs() - this.#startedMs, rows - SPARE_ROWS)
    if (this.#note !== '') lines.push(this.#note)
    this.#erase()
    // A line that wraps would be counted as one and leave a trace.
    process.stderr.write(
      lines
        .map(
          (line) =>
            `${Array.from(line)
              .slice(0, columns - 1)
              .join('')}\n`,
        )
        .join(''),
    )
    this.#drawn = lines.length
  }
}

/** One line for each system, as many as fit in `most`, and one for all. */
export function progressLines(counts: readonly Count[], total: number, elapsedMs: number, most: number): string[] {
  const systems = [...Map.groupBy(counts, ({ system }) => system)]
  const width = Math.max(...systems.map(([name]) => Array.from(printable(name)).length), 0)
  const room = Math.max(1, most - 2)
  const lines = systems.slice(0, room).map(([name, own]) => systemLine(printable(name), width, own))
  if (systems.length > room) lines.push(`… and ${counted(systems.length - room, 'more system')}`)
  const done = sum(counts.filter(isFinished))
  return [...lines, `${done} of ${total} finished, ${percent(done, total)}, ${span(elapsedMs)}`]
}

function systemLine(name: string, width: number, own: readonly Count[]): string {
  const blanks = ' '.repeat(width - Array.from(name).length)
  const states = [...own].sort((a, b) => ORDER[a.state] - ORDER[b.state]).map(({ state, count }) => `${stateText(state)} ${count}`)
  return `${name}${blanks}  ${percent(sum(own.filter(isFinished)), sum(own)).padStart(4)}  ${states.join(', ')}`
}

const isFinished = ({ state }: Count) => ORDER[state] >= FIRST_FINISHED
const sum = (counts: readonly Count[]) => counts.reduce((all, { count }) => all + count, 0)
const percent = (part: number, whole: number) => `${whole === 0 ? 100 : Math.floor((100 * part) / whole)}%`
