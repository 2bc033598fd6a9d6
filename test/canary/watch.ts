/** Samples what every process of this test shows to the machine: its arguments and its environment. */
import { readdirSync, readFileSync } from 'node:fs'

const EVERY_MS = 20

/** What a process showed at some moment. */
export interface Shown {
  readonly pid: number
  /** Of the program only: what it was called with may be the very thing. */
  readonly name: string
  readonly what: 'arguments' | 'environment'
  readonly bytes: Buffer
}

function read(path: string): Buffer | null {
  try {
    return readFileSync(path)
  } catch {
    // It ended while we looked, or is another user's.
    return null
  }
}

/** Every process whose line of parents leads to `root`; itself left out. */
function descendants(root: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = read(`/proc/${name}/stat`)?.toString()
    if (stat !== undefined) parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
  }
  return [...parents.keys()].filter((pid) => {
    for (let at = parents.get(pid); at !== undefined && at > 1; at = parents.get(at)) if (at === root) return true
    return false
  })
}

/** Looks every 20 ms until stopped. Equal sights are kept once. */
export class Watch {
  readonly #seen = new Map<string, Shown>()
  readonly #timer: NodeJS.Timeout
  /** Database servers outlive a killed Rekey and become the first process's children. */
  readonly #adopted = new Set<number>()
  looks = 0

  constructor() {
    this.#timer = setInterval(() => this.look(), EVERY_MS)
  }

  adopt(pid: number): void {
    this.#adopted.add(pid)
  }

  look(): void {
    this.looks++
    const pids = new Set([process.pid, ...this.#adopted].flatMap((root) => descendants(root)))
    for (const pid of [...pids, ...this.#adopted]) this.#take(pid)
  }

  #take(pid: number): void {
    const name = read(`/proc/${pid}/comm`)?.toString().trim() ?? ''
    for (const [file, what] of [
      ['cmdline', 'arguments'],
      ['environ', 'environment'],
    ] as const) {
      const bytes = read(`/proc/${pid}/${file}`)
      if (bytes === null || bytes.length === 0) continue
      const key = `${pid} ${bytes.toString('latin1')}`
      if (!this.#seen.has(key)) this.#seen.set(key, { pid, name, what, bytes })
    }
  }

  /** All that was seen, once each. */
  stop(): Shown[] {
    clearInterval(this.#timer)
    return [...this.#seen.values()]
  }
}
