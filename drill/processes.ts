import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { sleep, systemClock } from '../src/kernel/index.ts'
import type { Release, Report } from './messages.ts'

const STOP_MS = 15_000

/** Without these, Node lets small programs grow to some 250 MB each where memory is plenty. */
const SMALL = ['--max-semi-space-size=2', '--max-old-space-size=128']

/** The folder of the checkout. */
export const ROOT = join(import.meta.dirname, '..')

/** A process of the drill, told from a later one that got the same number. */
export interface Known {
  readonly what: string
  readonly pid: number
  /** Clock ticks after the machine's start. */
  readonly started: string
}

/** A process that we started. */
export interface Running {
  readonly known: Known
  /** Null while it runs, else how it ended. */
  ended(): string | null
  /** Lets it live on when we end. */
  release(): void
  /** SIGTERM and, after a while, SIGKILL. Twice is harmless. */
  stop(): Promise<void>
}

/** Starts one of the drill's own programs with a file as its only argument. It ends when we do, unless it is released. */
export function startChild(program: string, what: string, file: string, log: string, onReport: (report: Report) => void): Running {
  const output = openSync(log, 'a', 0o600)
  const child = spawn(process.execPath, [...SMALL, join(import.meta.dirname, program), file], {
    env: environment({}),
    stdio: ['ignore', output, output, 'ipc'],
    detached: true,
  })
  closeSync(output)
  child.on('message', (message) => onReport(message as Report))
  const release: Release = { kind: 'release' }
  return runningOf(child, what, () => void (child.connected && child.send(release)))
}

/** Starts a program that writes to `log`. In its own process group: Ctrl-C in a terminal is for the drill, which stops it in order. */
export function startProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  what: string,
  log: string,
): Running {
  const output = openSync(log, 'a', 0o600)
  const child = spawn(program, [...args], { env: environment(env), stdio: ['ignore', output, output], detached: true })
  closeSync(output)
  return runningOf(child, what, () => {})
}

/** The environment of every child: nothing of ours that could lead it elsewhere, such as DATABASE_URL. */
export function environment(more: Readonly<Record<string, string>>): Record<string, string> {
  const { PATH = '/usr/bin:/bin', HOME = '/', TMPDIR = '/tmp' } = process.env
  return { PATH, HOME, TMPDIR, LANG: 'C.UTF-8', NO_COLOR: '1', ...more }
}

function runningOf(child: ChildProcess, what: string, onRelease: () => void): Running {
  child.on('error', () => {})
  if (child.pid === undefined) throw new Error(`${what} could not be started.`)
  const known = knownOf(what, child.pid)
  const last = () => void child.kill('SIGKILL')
  process.once('exit', last)
  child.once('exit', () => process.off('exit', last))
  const ended = () =>
    child.exitCode === null && child.signalCode === null ? null : `${what} ended (${child.signalCode ?? child.exitCode})`
  return {
    known,
    ended,
    release() {
      process.off('exit', last)
      onRelease()
      child.unref()
    },
    stop: () => (ended() === null ? stopKnown(known) : Promise.resolve()),
  }
}

/** What is known of a process that runs at this moment. */
export function knownOf(what: string, pid: number): Known {
  return { what, pid, started: startOf(pid) ?? '' }
}

/** True if that very process still runs. A zombie that nobody has waited for yet does not. */
export function runs({ pid, started }: Known): boolean {
  const now = startOf(pid)
  return now !== null && now === started
}

/** Field 22 of /proc/PID/stat; null if there is no such process or it is only waited for. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}

/** SIGTERM and, after 15 s, SIGKILL; resolves when it is gone. Nothing happens to another process of the same number. */
export async function stopKnown(known: Known, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const until = systemClock.monotonicMs() + STOP_MS
  send(known, signal)
  while (runs(known)) {
    await sleep(20)
    if (systemClock.monotonicMs() > until) send(known, 'SIGKILL')
  }
}

/** Sends a signal to that very process, if it runs. */
export function send(known: Known, signal: NodeJS.Signals): void {
  try {
    if (runs(known)) process.kill(known.pid, signal)
  } catch {
    // It ended in between.
  }
}

/** Ends whatever PostgreSQL still runs on a data folder below `folder`, at once: its owner was killed and could not do it. */
export function killDatabases(folder: string): void {
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('/postmaster.pid')) continue
    try {
      const pid = Number(readFileSync(join(folder, name), 'utf8').split('\n')[0])
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder)) process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
}

/** Removes the folder, also while the last process in it is dying. */
export function removeNow(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
}
