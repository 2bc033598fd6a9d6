import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, chownSync, closeSync, constants, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const STOP_MS = 10_000

/** An unprivileged account of this machine. */
export interface Runner {
  readonly uid: number
  readonly gid: number
}

/** The path of a program in PATH or where Debian keeps servers, or null. */
export function findProgram(name: string): string | null {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/usr/local/bin', '/usr/bin']) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not here.
    }
  }
  return null
}

/** For root: the first of these accounts that exists, else `nobody`. Null for an ordinary user, who runs servers as himself. */
export function unprivileged(...names: readonly string[]): Runner | null {
  if (process.getuid?.() !== 0) return null
  const rows = readFileSync('/etc/passwd', 'utf8').split('\n')
  const lines = rows.map((line) => line.split(':'))
  for (const name of [...names, 'nobody']) {
    const row = lines.find(([user]) => user === name)
    if (row) return { uid: Number(row[2]), gid: Number(row[3]) }
  }
  return { uid: 65534, gid: 65534 }
}

/** Writes a file that only `runner` (or we ourselves) may read. Returns its path. */
export function writeOwned(folder: string, name: string, text: string, runner: Runner | null): string {
  const path = join(folder, name)
  writeFileSync(path, text, { mode: 0o600 })
  if (runner) chownSync(path, runner.uid, runner.gid)
  return path
}

/** One server process that we started. */
export interface Running {
  readonly pid: number
  /** Null while it runs; else how it ended, with the end of its log. */
  ended(): string | null
  pause(): void
  resume(): void
  /** Asks it to end (SIGTERM) and, after ten seconds, ends it. Resolves when it is gone; twice is harmless. */
  stop(): Promise<void>
}

/** Where a server runs, as whom, and which signals it understands. */
export interface LaunchOptions {
  readonly folder: string
  readonly log: string
  readonly runner: Runner | null
  /** What asks it to end, and what ends it without asking; SIGTERM and SIGKILL by default. */
  readonly signals?: { readonly stop: NodeJS.Signals; readonly kill: NodeJS.Signals }
  /** It has processes of its own that must be paused with it. */
  readonly forks?: boolean
  /** A library that its processes load before all others. */
  readonly preload?: string
}

/** Spawns a server in the foreground, its output appended to `log`. It is killed when this process exits without stopping it. */
export function launch(program: string, args: readonly string[], at: LaunchOptions): Running {
  const log = openSync(at.log, 'a')
  // Its own process group: Ctrl-C in a terminal must not stop it before its owner has decided so.
  const child = spawn(program, [...args], {
    ...(at.runner ?? {}),
    cwd: at.folder,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: at.folder, TZ: 'UTC', ...(at.preload ? { LD_PRELOAD: at.preload } : {}) },
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  const { pid } = child
  if (pid === undefined) {
    child.on('error', () => {})
    throw new Error(`${program} could not be spawned.`)
  }
  const { stop, kill } = at.signals ?? { stop: 'SIGTERM', kill: 'SIGKILL' }
  const last = () => void child.kill(kill)
  process.once('exit', last)
  child.once('exit', () => process.off('exit', last))
  return {
    pid,
    ended: () => (isGone(child) ? `it ended: ${readFileSync(at.log, 'utf8').slice(-1500)}` : null),
    pause() {
      // The parent first: it can then make no new child that would be missed.
      child.kill('SIGSTOP')
      if (at.forks) for (const each of childrenOf(pid)) process.kill(each, 'SIGSTOP')
    },
    resume() {
      if (at.forks) for (const each of childrenOf(pid)) process.kill(each, 'SIGCONT')
      child.kill('SIGCONT')
    },
    stop: () => stopChild(child, stop, kill),
  }
}

function isGone(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function stopChild(child: ChildProcess, stop: NodeJS.Signals, kill: NodeJS.Signals): Promise<void> {
  if (isGone(child)) return
  const gone = once(child, 'exit')
  child.kill('SIGCONT')
  child.kill(stop)
  const impatient = setTimeout(() => child.kill(kill), STOP_MS)
  await gone
  clearTimeout(impatient)
}

/** PostgreSQL's processes make sessions of their own, so a signal to the group would miss them: the parent's number is what tells. */
function childrenOf(parent: number): number[] {
  const children: number[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent) children.push(Number(name))
    } catch {
      // It ended while we looked.
    }
  }
  return children
}
