/** Programs that a script runs: bounded in output, each in a process group of its own, so that nothing of it outlives the script. */
import { type ChildProcess, spawn } from 'node:child_process'

export interface Outcome {
  readonly stdout: string
  readonly stderr: string
  /** Exit status, or the name of the signal that ended it. */
  readonly status: number | string
}

export interface Started {
  readonly output: () => { readonly stdout: string; readonly stderr: string }
  readonly done: Promise<Outcome>
  /** SIGTERM to the program alone, as an init system would send it. Harmless when it is gone. */
  terminate(): void
  /** SIGKILL to whatever is left of its whole group. */
  destroy(): void
}

const OUTPUT_CHARS = 4 * 1024 * 1024

/** Starts a program. `done` resolves when it has ended and its output is closed; it rejects if the program cannot be started. */
export function startProgram(argv: readonly string[], cwd: string, env: Record<string, string>, stdin: Uint8Array | null): Started {
  const [program, ...args] = argv
  if (!program) throw new Error('a program is missing')
  const child: ChildProcess = spawn(program, args, { cwd, env, detached: true, stdio: [stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'] })
  const texts = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (chunk: string) => {
      if (texts[stream].length < OUTPUT_CHARS) texts[stream] += chunk
    })
  }
  // A program may end without reading its input: the broken pipe is its own affair.
  child.stdin?.on('error', () => {})
  child.stdin?.end(stdin)
  const done = new Promise<Outcome>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status, signal) => resolve({ ...texts, status: status ?? signal ?? 'unknown' }))
  })
  done.catch(() => {})
  return { output: () => ({ ...texts }), done, terminate: () => void child.kill('SIGTERM'), destroy: () => killGroup(child.pid) }
}

function killGroup(leader: number | undefined): void {
  if (leader === undefined) return
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // The group is gone already.
  }
}

/** Resolves with the value, or with null after `ms` milliseconds. */
export async function within<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
