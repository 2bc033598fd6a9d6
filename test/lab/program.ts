import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs'
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

/** One server process that we started. */
export interface Running {
  readonly pid: number
  /** Null while it runs; else how it ended, with the end of its log. */
  ended(): string | null
  pause(): void
  resume(): void
  /** SIGTERM and, after ten seconds, SIGKILL. Resolves when it is gone; twice is harmless. */
  stop(): Promise<void>
}

/** Spawns a server in the foreground, its output appended to `log`. It is killed when this process exits without stopping it. */
export function launch(program: string, args: readonly string[], at: { folder: string; log: string; runner: Runner | null }): Running {
  const log = openSync(at.log, 'a')
  // Its own process group: Ctrl-C in a terminal must not stop it before its owner has decided so.
  const child = spawn(program, [...args], {
    ...(at.runner ?? {}),
    cwd: at.folder,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: at.folder, TZ: 'UTC' },
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  const { pid } = child
  if (pid === undefined) {
    child.on('error', () => {})
    throw new Error(`${program} could not be spawned.`)
  }
  const last = () => void child.kill('SIGKILL')
  process.once('exit', last)
  child.once('exit', () => process.off('exit', last))
  return {
    pid,
    ended: () => (isGone(child) ? `it ended: ${readFileSync(at.log, 'utf8').slice(-1500)}` : null),
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    stop: () => stopChild(child),
  }
}

function isGone(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (isGone(child)) return
  const gone = once(child, 'exit')
  child.kill('SIGCONT')
  child.kill('SIGTERM')
  const impatient = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await gone
  clearTimeout(impatient)
}
