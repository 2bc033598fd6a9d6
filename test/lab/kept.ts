import type { Secret } from '../../src/kernel/index.ts'
import { removeFolder } from './ports.ts'
import { type Runner, type Running, writeOwned } from './program.ts'

/** What every laboratory system is: one server process on a free port of 127.0.0.1, in a temporary folder. */
export interface LabServer {
  readonly host: '127.0.0.1'
  readonly port: number
  /** May do everything. */
  readonly superuser: { readonly account: string; readonly secret: Secret }
  /** Removed by `stop`. */
  readonly folder: string
  /** Of the server at this moment. */
  readonly pid: number
  /** Writes a file into the folder that the server, and besides it only root, may read. Resolves to its path. */
  write(name: string, text: string): string
  /** Orderly stop and start on the same port; open connections are cut. `args` are added for this start. */
  restart(args?: readonly string[]): Promise<void>
  /** SIGSTOP: it accepts connections and does not answer. */
  pause(): void
  resume(): void
  /** Shuts down and leaves the folder as it is. */
  halt(): Promise<void>
  /** Shuts down and removes the folder. Twice is harmless. */
  stop(): Promise<void>
}

/** What a laboratory system is made of. */
export interface LabParts {
  readonly port: number
  readonly folder: string
  readonly superuser: LabServer['superuser']
  readonly runner: Runner | null
  /** Resolves when the server answers. */
  start(args: readonly string[]): Promise<Running>
}

/** A laboratory system with one kept connection of the superuser, opened at first use and again after it broke. */
export abstract class KeptServer<Client> implements LabServer {
  readonly host = '127.0.0.1'
  readonly #parts: LabParts
  #running: Running
  #client: Promise<Client> | null = null

  constructor(parts: LabParts, running: Running) {
    this.#parts = parts
    this.#running = running
  }

  /** Opens the kept connection and calls `broken` when it breaks. */
  protected abstract connect(broken: () => void): Promise<Client>
  /** Closes it. Never rejects. */
  protected abstract disconnect(client: Client): Promise<void>

  get port(): number {
    return this.#parts.port
  }

  get folder(): string {
    return this.#parts.folder
  }

  get superuser(): LabServer['superuser'] {
    return this.#parts.superuser
  }

  get pid(): number {
    return this.#running.pid
  }

  write(name: string, text: string): string {
    return writeOwned(this.folder, name, text, this.#parts.runner)
  }

  async restart(args: readonly string[] = []): Promise<void> {
    await this.#forget()
    await this.#running.stop()
    this.#running = await this.#parts.start(args)
  }

  pause(): void {
    this.#running.pause()
  }

  resume(): void {
    this.#running.resume()
  }

  async halt(): Promise<void> {
    await this.#forget()
    await this.#running.stop()
  }

  async stop(): Promise<void> {
    await this.halt()
    await removeFolder(this.folder)
  }

  protected client(): Promise<Client> {
    if (this.#client !== null) return this.#client
    const opening: Promise<Client> = this.connect(() => this.#drop(opening))
    this.#client = opening
    opening.catch(() => this.#drop(opening))
    return opening
  }

  #drop(client: Promise<Client>): void {
    if (this.#client === client) this.#client = null
  }

  async #forget(): Promise<void> {
    const client = await this.#client?.catch(() => null)
    this.#client = null
    if (client) await this.disconnect(client)
  }
}
