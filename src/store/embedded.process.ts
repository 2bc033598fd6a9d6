import { readFileSync } from 'node:fs'
import { type Ctx, sleep } from '../kernel/index.ts'

/** How long the server may take to end its sessions and write everything. */
const FAST_MS = 20_000
/** The postmaster itself kills, after 5 s, what does not end at once: it must have had the time. */
const IMMEDIATE_MS = 8_000
const KILLED_MS = 2_000
/** When this process exits at once nobody waits long: then the server is told to leave without writing. */
const EXIT_MS = 3_000
const LOOK_MS = 20

/** False also for a process that has ended and only waits for its parent to notice. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')
  } catch {
    return false
  }
}

/** False if there is no such process, or it is not ours to signal. */
function tell(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/**
 * Fast shutdown (SIGINT: sessions are ended, everything is written); if that hangs an immediate one (SIGQUIT); if that hangs too the
 * end of the postmaster, whose children leave when they see it gone. After the last two the next start recovers from the log.
 */
export async function endServer(ctx: Ctx | null, pid: number): Promise<void> {
  for (const [signal, patienceMs] of [
    ['SIGINT', FAST_MS],
    ['SIGQUIT', IMMEDIATE_MS],
    ['SIGKILL', KILLED_MS],
  ] as const) {
    if (!tell(pid, signal)) return
    for (let waited = 0; waited < patienceMs; waited += LOOK_MS) {
      if (!isAlive(pid)) return
      await sleep(LOOK_MS)
    }
    ctx?.log.warn({ pid, signal }, 'the embedded database does not stop')
  }
}

const owned = new Set<number>()
let hooked = false

/**
 * However this process exits (a second Ctrl-C, an error that nobody caught, a closed output), the server with this pid ends with it.
 * Only what no process can answer, such as SIGKILL, leaves it behind; then the next start takes it over.
 */
export function endAtExit(pid: number): void {
  owned.add(pid)
  if (hooked) return
  hooked = true
  process.on('exit', () => {
    for (const one of owned) endNow(one)
  })
}

/** Undoes `endAtExit`. */
export function keepAtExit(pid: number): void {
  owned.delete(pid)
}

/** In an exit handler nothing asynchronous happens any more, so this waits by blocking. */
function endNow(pid: number): void {
  const cell = new Int32Array(new SharedArrayBuffer(4))
  if (!tell(pid, 'SIGINT')) return
  for (let waited = 0; isAlive(pid); waited += LOOK_MS) {
    if (waited >= EXIT_MS) return void tell(pid, 'SIGQUIT')
    Atomics.wait(cell, 0, 0, LOOK_MS)
  }
}
