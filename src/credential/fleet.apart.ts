import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { type Ctx, isCode, RekeyError, sleep } from '../kernel/index.ts'
import type { FleetOptions } from './fleet.check.ts'
import { type LinedFleet, parseWithLines } from './fleet.parse.ts'
import { died, type FleetAnswer, type FleetPart, type FleetQuestion, frame, wordsIn } from './fleet.wire.ts'

/**
 * Parsed in place up to here, characters. 85 credentials of this size kept the process for 17 ms, texts of nothing but brackets for
 * 80 to 90. A process of its own took 0.3 to 0.9 s for the same, nearly all of it for starting (two cores that ten others used too).
 */
const INLINE_CHARS = 16 * 1024
/**
 * What one file may take. 50,000 credentials in 4 MiB took 4 s and 0.5 GB; the worst 4 MiB (nothing but brackets or colons) would take
 * more than 3 GB, which ended the whole process when it was parsed in place. In a thread with a limit that still happened where the
 * engine's own code met it: only a process of its own keeps it from the others.
 */
const LIMIT_MS = 60_000
const LIMIT_MB = 1_024
/** Children at once, so that the above bounds what they take together, and files that may wait for their turn. */
const AT_ONCE = 1
const WAITING_MAX = 8
const COMPLAINT_CHARS = 64 * 1024

/** Bounds of one parse. Tests set them lower, and run programs that die. */
export interface ApartLimits {
  readonly ms: number
  readonly mb: number
  readonly program?: URL
}

const PROGRAM = new URL('./fleet.child.ts', import.meta.url)

/**
 * As `parseWithLines`, but a large file is parsed in a process of its own, so that this one goes on answering and no file can end it.
 * Throws `fleet_invalid`; `too_large` if it takes more time or memory than a file may; `unavailable` if too many files wait already, if no
 * process can be started, or if `ctx.signal` aborts, which ends it; `internal` if it dies. It is gone before this resolves or rejects.
 */
export async function parseFleetApart(
  ctx: Ctx,
  text: string,
  options: FleetOptions,
  limits: ApartLimits = { ms: LIMIT_MS, mb: LIMIT_MB },
): Promise<LinedFleet> {
  if (text.length <= INLINE_CHARS) return parseWithLines(text, options)
  await turn(ctx)
  try {
    return await inChild(ctx, text, options, limits)
  } finally {
    leave()
  }
}

let running = 0
const waiting: (() => void)[] = []

/** Resolves when a child may start; whoever got a turn calls `leave`. */
async function turn({ signal }: Ctx): Promise<void> {
  if (signal.aborted) throw gone()
  if (running < AT_ONCE) {
    running++
    return
  }
  if (waiting.length >= WAITING_MAX) {
    throw new RekeyError('unavailable', 'Other large fleet files are being read.', { hint: 'Try again in a minute.' })
  }
  const mine = await new Promise<boolean>((resolve) => {
    const next = () => {
      signal.removeEventListener('abort', giveUp)
      resolve(true)
    }
    const giveUp = () => {
      waiting.splice(waiting.indexOf(next), 1)
      resolve(false)
    }
    waiting.push(next)
    signal.addEventListener('abort', giveUp, { once: true })
  })
  if (!mine) throw gone()
}

/** Passes the turn on. */
function leave(): void {
  const next = waiting.shift()
  if (next === undefined) running--
  else next()
}

function gone(): RekeyError {
  return new RekeyError('unavailable', 'Nobody waits for the fleet file any more.')
}

function tooMuch(of: 'time' | 'memory'): RekeyError {
  return new RekeyError('too_large', `The fleet file takes more ${of} to read than one file may; nothing was applied.`, {
    hint: 'Look for text that is no fleet file, or split the fleet.',
  })
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>

/**
 * Started through the shell, which changes into the child, for what only a process can do to itself: no core is written, which would
 * hold the file; where the machine runs out of memory the kernel ends this process before the server; and one that outlives a server
 * that was killed ends when it has used up its processor time. The shell's own variables are not handed on.
 */
const START = `ulimit -c 0
ulimit -t "$1"
{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
shift
unset PWD OLDPWD SHLVL _
exec "$@"`
/** Processor seconds for each second that it may take: threads of the engine work beside the parser. */
const THREADS = 5

const living = new Set<Child>()
let hooked = false

function startChild({ ms, mb, program = PROGRAM }: ApartLimits): Child {
  const seconds = String(Math.ceil(ms / 1_000) * THREADS)
  const command = [process.execPath, `--max-old-space-size=${mb}`, fileURLToPath(program)]
  // Its folder may be gone: the child needs none.
  const child = spawn('/bin/sh', ['-c', START, 'sh', seconds, ...command], { cwd: '/', env: {}, stdio: ['pipe', 'pipe', 'pipe'] })
  living.add(child)
  for (const end of ['close', 'error']) child.once(end, () => living.delete(child))
  if (!hooked) {
    hooked = true
    // However this process exits, the parser ends with it; of one that is killed it finds the pipe closed.
    process.on('exit', () => {
      for (const one of living) one.kill('SIGKILL')
    })
  }
  return child
}

/** The beginning of what it wrote to standard error. For looking into only: it may quote the file. */
function complaintsOf({ stderr }: Child): () => string {
  let text = ''
  stderr.on('data', (chunk: Buffer) => {
    if (text.length < COMPLAINT_CHARS) text += chunk.toString('latin1')
  })
  return () => text
}

/** Why a child ended that gave no result. The engine says so in these words when it meets its limit, wherever in its code that is. */
function endOf(code: number | null, signal: string | null, complaints: string): RekeyError {
  if (signal !== null && complaints.includes('out of memory')) return tooMuch('memory')
  if (signal === 'SIGKILL') return died(signal, 'If the machine is short of memory, its kernel ended the parser: its log says so.')
  return died(signal ?? `exit ${code}`)
}

async function inChild(ctx: Ctx, text: string, options: FleetOptions, limits: ApartLimits): Promise<LinedFleet> {
  if (ctx.signal.aborted) throw gone()
  const child = startChild(limits)
  const complaints = complaintsOf(child)
  const ended = new Promise<RekeyError>((resolve) => {
    child.once('error', (error: Error & { code?: string }) => resolve(notStarted(error.code)))
    child.once('close', (code, signal) => resolve(endOf(code, signal, complaints())))
  })
  const over = new AbortController()
  const { signal } = over
  const refused = new Promise<never>((_resolve, reject) => {
    ctx.signal.addEventListener('abort', () => reject(gone()), { once: true, signal })
    void sleep(limits.ms, signal).then(() => reject(tooMuch('time')))
  })
  try {
    return await Promise.race([refused, converse(child, text, options, ended)])
  } finally {
    over.abort()
    child.kill('SIGKILL')
    // The turn is passed on only when its memory is free again.
    await ended
  }
}

function notStarted(code = 'unknown'): RekeyError {
  return new RekeyError('unavailable', 'The parser of fleet files cannot be started; nothing was applied.', { detail: code })
}

/** Hands the text over and answers questions until there is a result. Throws why there is none. */
async function converse(child: Child, text: string, options: FleetOptions, ended: Promise<RekeyError>): Promise<LinedFleet> {
  // A pipe that closes is told by the end of the child.
  child.stdin.on('error', () => undefined)
  child.stdin.write(frame({ text }))
  const parts: FleetPart[] = []
  for await (const word of wordsIn(child.stdout)) {
    if ('connector' in word) child.stdin.write(frame(answerTo(word, options)))
    else if ('part' in word) parts.push(word.part)
    else if ('faults' in word) throw new RekeyError('fleet_invalid', word.message, { faults: word.faults })
    else if ('died' in word) throw died(word.died)
    else return joined(parts)
  }
  throw await ended
}

function joined(parts: readonly FleetPart[]): LinedFleet {
  return {
    fleet: {
      systems: parts.flatMap(({ fleet }) => fleet.systems),
      identities: parts.flatMap(({ fleet }) => fleet.identities),
      credentials: parts.flatMap(({ fleet }) => fleet.credentials),
    },
    lines: new Map(parts.flatMap(({ lines }) => lines)),
  }
}

/** Throws what a connector throws, unless it only refuses a name: the parse ends then. */
function answerTo({ connector, accounts }: FleetQuestion, options: FleetOptions): FleetAnswer {
  if (accounts === null) return { capabilities: options.knownConnector(connector) }
  return { refusals: accounts.flatMap((name) => refusalOf(options, connector, name)) }
}

/** The name and why it is refused; nothing if it is not. */
function refusalOf(options: FleetOptions, connector: string, name: string): [] | [readonly [string, string]] {
  try {
    options.checkAccount(connector, name)
    return []
  } catch (error) {
    if (isCode(error, 'bad_input')) return [[name, error.message]]
    throw error
  }
}
