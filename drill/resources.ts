import { chmodSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../src/kernel/index.ts'
import { forget, keep } from './kept.ts'
import { type Known, killDatabases, knownOf, type Running, removeNow, send } from './processes.ts'
import type { System } from './systems.ts'

/** Everything that the drill starts or writes and must take away again. */
export class Resources {
  /** Everything temporary lies in it. */
  readonly folder: string
  readonly #out: string
  readonly #processes: Running[] = []
  readonly #systems: Promise<System | null>[] = []
  #known: Known[] = []

  constructor(out: string) {
    this.#out = out
    this.folder = mkdtempSync(join(tmpdir(), 'rekey-drill-'))
    // As root, servers run as unprivileged users, who must be able to pass to their own parts.
    if (process.getuid?.() === 0) chmodSync(this.folder, 0o711)
    // The servers make folders of their own: all below this one, so that one removal takes everything.
    process.env.TMPDIR = this.folder
    this.#note()
  }

  /** Registered before it is waited for: a server that is still starting is stopped too. */
  addSystem(starting: Promise<System | null>): Promise<System | null> {
    this.#systems.push(starting)
    const noted = starting.then((system) => {
      if (system) this.#know(knownOf(system.name, system.pid))
      return system
    })
    noted.catch(() => {})
    return noted
  }

  addProcess(running: Running): void {
    this.#processes.push(running)
    this.#know(running.known)
  }

  /** What runs, the first started first. */
  known(): readonly Known[] {
    return this.#known
  }

  /** Leaves everything running when we end. */
  release(): void {
    for (const running of this.#processes) running.release()
    // The servers' starters would kill them when this process ends.
    process.removeAllListeners('exit')
  }

  /** Stops everything, the last started first, and removes the folder. Resolves with what went wrong, in order. */
  async close(): Promise<string[]> {
    const faults: string[] = []
    const attempt = async (stop: () => Promise<unknown>) => {
      await stop().catch((error: unknown) => faults.push(messageOf(error)))
    }
    // Consumers and attacker first and together: what follows would only look like an outage to them.
    const [server, ...children] = this.#processes
    await Promise.all(children.map((child) => attempt(() => child.stop())))
    if (server) await attempt(() => server.stop())
    const systems = await Promise.allSettled(this.#systems)
    await Promise.all(systems.map((each) => attempt(async () => (each.status === 'fulfilled' ? each.value?.stop() : undefined))))
    await attempt(async () => this.#remove())
    return faults
  }

  /** Kills everything at once. */
  kill(): void {
    for (const known of this.#known) send(known, 'SIGKILL')
    this.#remove()
  }

  #remove(): void {
    killDatabases(this.folder)
    removeNow(this.folder)
    forget(this.#out)
  }

  #know(known: Known): void {
    this.#known = [...this.#known, known]
    this.#note()
  }

  #note(): void {
    keep(this.#out, { folder: this.folder, processes: this.#known })
  }
}
