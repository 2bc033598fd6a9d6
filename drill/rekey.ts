import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sleep, systemClock } from '../src/kernel/index.ts'
import { environment, ROOT, type Running, startProgram } from './processes.ts'

const READY_MS = 60_000
const OUTPUT_BYTES = 64 * 1024 * 1024
/** The command as it is shown to people. */
export const SHOWN = 'bin/rekey'
const PROGRAM = join(ROOT, SHOWN)

/** What a command printed and how it ended. */
export interface Ran {
  readonly status: number
  readonly out: string
  readonly err: string
}

/** Rekey, driven as a user does: by its own program. */
export interface Rekey {
  readonly url: string
  readonly data: string
  readonly tokenFile: string
  readonly process: Running
  /** Runs a command; resolves with its result whatever the status. */
  run(...args: readonly string[]): Promise<Ran>
  /** Runs a command whose every line of output is a JSON object. Rejects, with what it said, if its status is not 0. */
  list<T>(...args: readonly string[]): Promise<T[]>
}

/** Starts `rekey serve` on its embedded database in `data`; resolves when it says that it is ready. `onStart` is called before that. */
export async function startRekey(data: string, port: number, log: string, onStart: (process: Running) => void): Promise<Rekey> {
  const listen = `127.0.0.1:${port}`
  const running = startProgram(PROGRAM, ['serve', '--data', data], { REKEY_LISTEN: listen, REKEY_LOG: 'warn' }, 'rekey serve', log)
  onStart(running)
  const until = systemClock.monotonicMs() + READY_MS
  while (!readFileSync(log, 'utf8').includes('rekey: ready on')) {
    const why = running.ended() ?? (systemClock.monotonicMs() > until ? 'it did not become ready' : null)
    if (why !== null) throw new Error(`Rekey did not start: ${why}. ${readFileSync(log, 'utf8').slice(-1000)}`)
    await sleep(20)
  }
  const url = `http://${listen}`
  const env = environment({ REKEY_URL: url, REKEY_DATA: data })
  return {
    url,
    data,
    tokenFile: join(data, 'admin.token'),
    process: running,
    run: (...args) => runCommand(args, env),
    list: async <T>(...args: readonly string[]) => listOf<T>(args, await runCommand(args, env)),
  }
}

function runCommand(args: readonly string[], env: Record<string, string>): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(PROGRAM, [...args], { env, maxBuffer: OUTPUT_BYTES, encoding: 'utf8' }, (error, out, err) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ status, out, err })
    })
  })
}

function listOf<T>(args: readonly string[], { status, out, err }: Ran): T[] {
  if (status !== 0) throw new Error(`rekey ${args.slice(0, 2).join(' ')} failed (${status}): ${err.trim()}`)
  const lines = out.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as T)
}
