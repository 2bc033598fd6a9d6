/** Rekey as a person runs it: `bin/rekey` in a folder, its server beside it, everything ended and removed afterwards. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sleep } from '../../src/kernel/index.ts'
import { type Outcome, type Started, startProgram } from '../cli/process.ts'
import { serverFolder } from '../lab/copies.ts'

const PROGRAM = new URL('../../bin/rekey', import.meta.url).pathname

/** `rekey` as a process that was started for a test. */
export interface Launched {
  readonly child: ChildProcess
  /** It said so; else it has ended. */
  readonly ready: boolean
  /** Its address; null for a worker, and where it is not ready. */
  readonly url: string | null
  readonly errors: string
}

/** How `rekey` is started. */
interface Launch {
  readonly env: Record<string, string>
  readonly who?: { readonly uid?: number; readonly gid?: number }
  readonly cwd?: string
  /** One that is neither ready nor gone is killed after that, and has the signal then. */
  readonly patienceMs?: number
}

/** Starts `rekey` and waits until it is ready or has ended. It is put into `running`, for `endAll`. */
export async function launch(running: ChildProcess[], args: readonly string[], how: Launch): Promise<Launched> {
  const { env, who = {}, cwd, patienceMs = Number.POSITIVE_INFINITY } = how
  const child = spawn(PROGRAM, args, {
    ...who,
    ...(cwd === undefined ? {} : { cwd }),
    env: { PATH: process.env.PATH ?? '', REKEY_LISTEN: '127.0.0.1:0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.push(child)
  const closed = once(child, 'close')
  let [out, errors] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString()
  })
  for (let waited = 0; !out.includes('rekey: ready') && !hasEnded(child); waited += 20) {
    if (waited > patienceMs) child.kill('SIGKILL')
    await sleep(20)
  }
  if (hasEnded(child)) await closed
  return { child, ready: out.includes('rekey: ready'), url: /ready on (\S+)/.exec(out)?.[1] ?? null, errors }
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

/** Ends one in order. */
export async function endOne(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

/** Ends all in order, and forgets them. */
export async function endAll(running: ChildProcess[]): Promise<void> {
  for (const child of running.splice(0)) await endOne(child)
}

/** A running `rekey serve`. */
export interface Served {
  /** Null if it ended instead of becoming ready. */
  readonly url: string | null
  /** What it said on standard error, until now. */
  errors(): string
  /** SIGKILL: it has no time to put anything in order. */
  kill(): Promise<void>
}

/** One folder with fleet file and secrets, and one with the data, keys and token; several servers may share them. */
export class Site {
  readonly folder: string
  readonly data: string
  readonly #place: string
  readonly #servers: Started[] = []

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'rekey-site-'))
    chmodSync(this.folder, 0o711)
    mkdirSync(this.path('home'))
    this.#place = mkdtempSync(join(serverFolder(), 'rekey-data-'))
    chmodSync(this.#place, 0o711)
    this.data = join(this.#place, 'data')
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** Writes a file that nobody else may read. Returns its path. */
  write(name: string, text: string): string {
    writeFileSync(this.path(name), text, { mode: 0o600 })
    return this.path(name)
  }

  /** Resolves when it is ready or has ended. */
  async serve(env: Record<string, string> = {}): Promise<Served> {
    const server = startProgram([PROGRAM, 'serve'], this.folder, this.#env({ REKEY_LISTEN: '127.0.0.1:0', ...env }), null)
    this.#servers.push(server)
    let ended = false
    void server.done.then(() => {
      ended = true
    })
    const ready = () => /rekey: ready on (\S+)/.exec(server.output().stdout)?.[1] ?? null
    while (ready() === null && !ended) await sleep(20)
    return {
      url: ready(),
      errors: () => server.output().stderr,
      async kill() {
        server.destroy()
        await server.done
      },
    }
  }

  /** One command, by words. */
  rekey(url: string, ...words: readonly string[]): Promise<Outcome> {
    return startProgram([PROGRAM, ...words], this.folder, this.#env({ REKEY_URL: url }), null).done
  }

  /** One command that needs no server. */
  offline(env: Record<string, string>, ...words: readonly string[]): Promise<Outcome> {
    return startProgram([PROGRAM, ...words], this.folder, this.#env(env), null).done
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) server.terminate()
    await Promise.all(this.#servers.map((server) => server.done))
    for (const each of [this.folder, this.#place]) rmSync(each, { recursive: true, force: true, maxRetries: 5 })
  }

  #env(more: Record<string, string>): Record<string, string> {
    return { PATH: process.env.PATH ?? '', HOME: this.path('home'), REKEY_DATA: this.data, ...more }
  }
}

/** JSON objects of a command's output, one a line. */
export function jsonLines({ stdout }: Outcome): Record<string, unknown>[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
}
