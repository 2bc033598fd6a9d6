/** Work that may take too much time or memory, or end its process, in a process of its own. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { type Framed, frame, wordsIn } from './apart.wire.ts'
import { sleep } from './clock.ts'
import type { Ctx } from './ctx.ts'
import type { RekeyError } from './errors.ts'

const COMPLAINT_CHARS = 64 * 1024

/** Bounds of one piece of work: its time, and the memory that the engine takes for values. */
export interface ApartLimits {
  readonly ms: number
  readonly mb: number
  /** What the child runs. */
  readonly program: URL
  /** More options of the engine. */
  readonly flags?: readonly string[]
}

/** The errors of one kind of work, each in its own words. */
export interface ApartFaults {
  /** Too many wait already. */
  busy(): RekeyError
  /** Nobody waits for it any more. */
  gone(): RekeyError
  tooMuch(of: 'time' | 'memory'): RekeyError
  /** The detail is for the log, and quotes nothing of the work. */
  died(detail: string, hint?: string): RekeyError
  notStarted(code: string): RekeyError
}

/** One child at a time, so that their bounds bound what they take together; a few wait for their turn. */
export class Turns {
  readonly #waitingMax: number
  readonly #waiting: (() => void)[] = []
  #taken = false

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax
  }

  /** Runs `use` when it is its turn. Throws `busy` and `gone`. */
  async inTurn<T>({ signal }: Ctx, faults: Pick<ApartFaults, 'busy' | 'gone'>, use: () => Promise<T>): Promise<T> {
    if (signal.aborted) throw faults.gone()
    if (!this.#taken) this.#taken = true
    else if (this.#waiting.length >= this.#waitingMax) throw faults.busy()
    else if (!(await this.#wait(signal))) throw faults.gone()
    try {
      return await use()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#taken = false
      else next()
    }
  }

  #wait(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const next = () => {
        signal.removeEventListener('abort', giveUp)
        resolve(true)
      }
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(next), 1)
        resolve(false)
      }
      this.#waiting.push(next)
      signal.addEventListener('abort', giveUp, { once: true })
    })
  }
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>

/**
 * Started through the shell, which changes into the child, for what only a process can do to itself: no core is written, which would
 * hold what it works on; where the machine runs out of memory the kernel ends this process before the server; and one that outlives a
 * server that was killed ends when it has used up its processor time. The shell's own variables are not handed on.
 */
const START = `ulimit -c 0
ulimit -t "$1"
{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
shift
unset PWD OLDPWD SHLVL _
exec "$@"`
/** Processor seconds for each second that it may take: threads of the engine work beside it. */
const THREADS = 5

const living = new Set<Child>()
let hooked = false

function startChild({ ms, mb, program, flags = [] }: ApartLimits): Child {
  const seconds = String(Math.ceil(ms / 1_000) * THREADS)
  const command = [process.execPath, `--max-old-space-size=${mb}`, ...flags, fileURLToPath(program)]
  // Its folder may be gone: the child needs none.
  const child = spawn('/bin/sh', ['-c', START, 'sh', seconds, ...command], { cwd: '/', env: {}, stdio: ['pipe', 'pipe', 'pipe'] })
  living.add(child)
  for (const end of ['close', 'error']) child.once(end, () => living.delete(child))
  if (!hooked) {
    hooked = true
    // However this process exits, the child ends with it; of one that is killed it finds the pipe closed.
    process.on('exit', () => {
      for (const one of living) one.kill('SIGKILL')
    })
  }
  return child
}

/** The beginning of what it wrote to standard error. For looking into only: it may quote what it works on. */
function complaintsOf({ stderr }: Child): () => string {
  let text = ''
  stderr.on('data', (chunk: Buffer) => {
    if (text.length < COMPLAINT_CHARS) text += chunk.toString('latin1')
  })
  return () => text
}

/** Why a child ended that gave no result. The engine says so in these words when it meets its limit, wherever in its code that is. */
function endOf(faults: ApartFaults, code: number | null, signal: string | null, complaints: string): RekeyError {
  if (signal !== null && complaints.includes('out of memory')) return faults.tooMuch('memory')
  if (signal === 'SIGKILL') return faults.died(signal, 'If the machine is short of memory, its kernel ended the child: its log says so.')
  return faults.died(signal ?? `exit ${code}`)
}

/** A conversation with a child: what it says, and how it is told something. */
export interface Talk<Word> {
  readonly words: AsyncIterable<Word>
  say(word: Framed): void
}

/**
 * Starts a child and lets `use` talk with it. Throws what `use` throws, else why the child ended before `use` did, or that it took too
 * much. It is gone, and its memory free, before this resolves or rejects; also if `ctx.signal` aborts.
 */
export async function withChild<Word, T>(
  ctx: Ctx,
  limits: ApartLimits,
  faults: ApartFaults,
  use: (talk: Talk<Word>) => Promise<T>,
): Promise<T> {
  if (ctx.signal.aborted) throw faults.gone()
  const child = startChild(limits)
  const complaints = complaintsOf(child)
  const ended = new Promise<RekeyError>((resolve) => {
    child.once('error', (error: Error & { code?: string }) => resolve(faults.notStarted(error.code ?? 'unknown')))
    child.once('close', (code, signal) => resolve(endOf(faults, code, signal, complaints())))
  })
  const over = new AbortController()
  const { signal } = over
  const refused = new Promise<never>((_resolve, reject) => {
    ctx.signal.addEventListener('abort', () => reject(faults.gone()), { once: true, signal })
    void sleep(limits.ms, signal).then(() => reject(faults.tooMuch('time')))
  })
  // A pipe that closes is told by the end of the child.
  child.stdin.on('error', () => undefined)
  const words = async function* () {
    yield* wordsIn<Word>(child.stdout, faults.died)
    throw await ended
  }
  try {
    return await Promise.race([refused, use({ words: words(), say: (word) => void child.stdin.write(frame(word)) })])
  } finally {
    over.abort()
    child.kill('SIGKILL')
    await ended
  }
}
