import { systemClock } from '../src/kernel/index.ts'

const REDRAW_MS = 100
const NARROW = 40
/** Of a terminal that says 0 by 0, as one does that nobody gave a size. */
const UNKNOWN = { columns: 80, rows: 24 }
// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what a terminal's colours begin with.
const PIECES = /\u001b\[[0-9;?]*[A-Za-z]|[^\u001b]/gu

/** Colours used: bold for heads, red for danger, green for proof, dim for what matters less. */
export type Paint = 'bold' | 'red' | 'green' | 'yellow' | 'dim'
const CODES: Readonly<Record<Paint, string>> = { bold: '1', red: '31', green: '32', yellow: '33', dim: '2' }

/** How the drill shows itself. On a terminal a block at the bottom is drawn anew in place; elsewhere there are only lines. */
export class Screen {
  readonly #out: NodeJS.WriteStream
  readonly live: boolean
  readonly #colors: boolean
  #block: readonly string[] = []
  /** Lines of the block that are on the screen. */
  #drawn = 0
  #drawnAtMs = 0

  constructor(out: NodeJS.WriteStream, options: { readonly plain: boolean; readonly colors: boolean }) {
    this.#out = out
    this.live = out.isTTY === true && !options.plain
    this.#colors = this.live && options.colors
    if (!this.live) return
    out.write('\u001b[?25l')
    out.on('resize', () => this.#draw())
  }

  paint(text: string, ...how: readonly Paint[]): string {
    return this.#colors && how.length > 0 ? `\u001b[${how.map((one) => CODES[one]).join(';')}m${text}\u001b[0m` : text
  }

  /** A line that stays; a long one wraps, so that nothing of it is lost. */
  line(text = ''): void {
    if (!this.live) return void this.#out.write(`${text}\n`)
    this.#erase()
    this.#out.write(`${text}\n`)
    this.#draw()
  }

  /** The block at the bottom of a terminal; at most ten times a second. Nothing elsewhere. */
  block(lines: readonly string[]): void {
    if (!this.live) return
    this.#block = lines
    if (systemClock.monotonicMs() - this.#drawnAtMs >= REDRAW_MS) this.#draw()
  }

  /** Makes the block as it is now a part of what stays; `lines` replace it. */
  settle(lines: readonly string[] = this.#block): void {
    this.#block = []
    if (this.live) this.#erase()
    for (const line of lines) this.line(line)
  }

  /** Columns that a line may have. */
  width(): number {
    return Math.max(NARROW, this.live ? this.#out.columns || UNKNOWN.columns : 100)
  }

  /** Leaves the terminal as it was. Twice is harmless. */
  close(): void {
    if (!this.live) return
    this.settle([])
    this.#out.write('\u001b[?25h')
  }

  #erase(): void {
    if (this.#drawn > 0) this.#out.write(`\u001b[${this.#drawn}A\r\u001b[J`)
    this.#drawn = 0
  }

  #draw(): void {
    // More lines than the window has could not be erased again.
    const lines = this.#block.slice(0, Math.max(1, (this.#out.rows || UNKNOWN.rows) - 1)).map((line) => `${this.#cut(line)}\u001b[K\n`)
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A\r` : ''
    this.#out.write(`${up}${lines.join('')}\u001b[J`)
    this.#drawn = lines.length
    this.#drawnAtMs = systemClock.monotonicMs()
  }

  /** A line that wraps would be counted wrong. Colours have no width. */
  #cut(text: string): string {
    const columns = this.width()
    let used = 0
    let cut = ''
    for (const [piece] of text.matchAll(PIECES)) {
      if (piece.startsWith('\u001b')) cut += piece
      else if (used < columns) {
        cut += piece
        used++
      }
    }
    return cut
  }
}
