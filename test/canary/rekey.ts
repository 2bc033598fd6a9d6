/** The product itself, as its users run it: `bin/rekey serve` and the command line as child processes, and its API by HTTP. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sleep, systemClock } from '../../src/kernel/index.ts'
import { ROOT } from '../source.ts'

const PROGRAM = join(ROOT, 'bin', 'rekey')
const PATIENCE_MS = 60_000

/** One thing that the product said to somebody. */
export interface Said {
  readonly where: string
  readonly text: string
}

export interface Places {
  readonly data: string
  /** Working folder of every child: cores would land here. */
  readonly work: string
  readonly log: string
  readonly port: number
}

/** Rekey on one data folder. Everything it says is kept in `said`. */
export class Rekey {
  readonly said: Said[] = []
  readonly #places: Places
  #server: ChildProcess | null = null

  constructor(places: Places) {
    this.#places = places
  }

  #env(more: Record<string, string> = {}): Record<string, string> {
    const { data, port } = this.#places
    const address = `127.0.0.1:${port}`
    const own = { REKEY_DATA: data, REKEY_LISTEN: address, REKEY_LOG: 'debug', REKEY_SHRED_AFTER: '0' }
    return { PATH: process.env.PATH ?? '', TZ: 'UTC', LANG: 'C.UTF-8', HOME: this.#places.work, ...own, ...more }
  }

  /** Starts the server where the machine allows core dumps, and waits until it is ready. */
  async serve(): Promise<void> {
    const allowed = ['-c', 'ulimit -c unlimited 2>/dev/null; exec "$0" "$@"', PROGRAM, 'serve']
    const child = spawn('/bin/sh', allowed, { cwd: this.#places.work, env: this.#env(), stdio: ['ignore', 'pipe', 'pipe'] })
    this.#server = child
    let heard = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        heard += chunk.toString()
        appendFileSync(this.#places.log, chunk)
      })
    }
    await until('the server is ready', async () => {
      if (child.exitCode !== null) throw new Error(`the server ended: ${heard.slice(-2000)}`)
      return heard.includes('rekey: ready on') || null
    })
  }

  get pid(): number {
    return this.#server?.pid ?? Number.NaN
  }

  /** Ends the server with a signal and waits until it is gone and its output is read. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null || server.exitCode !== null || server.signalCode !== null) return
    const gone = once(server, 'close')
    server.kill(signal)
    await gone
  }

  /** Runs a command. Resolves with its status and standard output; keeps both outputs. */
  async cli(
    args: readonly string[],
    options: { env?: Record<string, string>; stdin?: string } = {},
  ): Promise<{ status: number; out: string }> {
    const child = spawn(PROGRAM, args, { cwd: this.#places.work, env: this.#env(options.env), stdio: ['pipe', 'pipe', 'pipe'] })
    const texts = { out: '', err: '' }
    child.stdout.on('data', (chunk: Buffer) => {
      texts.out += chunk.toString()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      texts.err += chunk.toString()
    })
    child.stdin.on('error', () => {})
    child.stdin.end(options.stdin ?? '')
    const [status] = (await once(child, 'close')) as [number | null]
    this.said.push({ where: `rekey ${args.join(' ')}, standard output`, text: texts.out })
    this.said.push({ where: `rekey ${args.join(' ')}, standard error`, text: texts.err })
    return { status: status ?? -1, out: texts.out }
  }

  /** Runs a command that must succeed. */
  async done(...args: readonly string[]): Promise<string> {
    const { status, out } = await this.cli(args)
    if (status !== 0) throw new Error(`rekey ${args.join(' ')} ended with ${status}: ${this.said.at(-1)?.text}`)
    return out
  }

  get token(): string {
    return readFileSync(join(this.#places.data, 'admin.token'), 'utf8').trim()
  }

  /** Asks the API. `body` is sent as it is if it is a text. The answer, its headers too, is kept. */
  async api(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<{ status: number; text: string }> {
    const signal = AbortSignal.timeout(PATIENCE_MS)
    const answer = await fetch(`http://127.0.0.1:${this.#places.port}${path}`, {
      method,
      signal,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    this.said.push({ where: `${method} ${path}`, text: `${JSON.stringify([...answer.headers])}\n${text}` })
    return { status: answer.status, text }
  }

  /** The newest rotation of a credential. */
  async rotationOf(credential: string): Promise<{ rotation: string; state: string; reason: string | null } | undefined> {
    const { text } = await this.api('GET', `/v1/rotations?limit=1&credential=${encodeURIComponent(credential)}`)
    return (JSON.parse(text) as { items: { rotation: string; state: string; reason: string | null }[] }).items[0]
  }

  /** Waits until the newest rotation of a credential is in one of the states. Resolves with its id. */
  async reaches(credential: string, ...states: readonly string[]): Promise<string> {
    let last = ''
    try {
      return await until(`${credential} is ${states.join(' or ')}`, async () => {
        const found = await this.rotationOf(credential)
        last = JSON.stringify(found)
        return found && states.includes(found.state) ? found.rotation : null
      })
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${last}`)
    }
  }
}

/** Asks again until the answer is not null. */
export async function until<T>(what: string, ask: () => Promise<T | null>): Promise<T> {
  const end = systemClock.monotonicMs() + PATIENCE_MS
  for (;;) {
    const answer = await ask()
    if (answer !== null) return answer
    if (systemClock.monotonicMs() > end) throw new Error(`It did not come to that: ${what}`)
    await sleep(50)
  }
}
