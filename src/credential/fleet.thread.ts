import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { type Ctx, isCode, RekeyError, sleep } from '../kernel/index.ts'
import type { FleetOptions } from './fleet.check.ts'
import { type LinedFleet, parseWithLines } from './fleet.parse.ts'
import type { FleetAnswer, FleetJob, FleetQuestion, FleetResult } from './fleet.worker.ts'

/**
 * Parsed in place up to here, characters. 85 credentials of this size kept the process for 17 ms, texts of nothing but brackets for
 * 80 to 90. The same took 170 to 310 ms with a thread, most of it for starting one (medians, two cores that others used too).
 */
const INLINE_CHARS = 16 * 1024
/**
 * What one file may take. 50,000 credentials in 4 MiB took 4 s and 0.5 GB; the worst 4 MiB (nothing but brackets or colons) would take
 * more than 3 GB, which ended the whole process when it was parsed in place.
 */
const LIMIT_MS = 60_000
const LIMIT_MB = 1_024
/** Threads at once, so that the above bounds the process, and files that may wait for their turn. */
const AT_ONCE = 1
const WAITING_MAX = 8

/** Bounds of one parse. Tests set them lower, and run programs that die. */
export interface ThreadLimits {
  readonly ms: number
  readonly mb: number
  readonly program?: URL
}

const PROGRAM = new URL('./fleet.worker.ts', import.meta.url)

/**
 * As `parseWithLines`, but a large file is parsed in a thread of its own, so that the process goes on answering. Throws `fleet_invalid`;
 * `too_large` if it takes more time or memory than a file may; `unavailable` if too many files wait already, or if `ctx.signal`
 * aborts, which ends the thread; `internal` if the thread dies. The thread is gone before this resolves or rejects.
 */
export async function parseFleetApart(
  ctx: Ctx,
  text: string,
  options: FleetOptions,
  limits: ThreadLimits = { ms: LIMIT_MS, mb: LIMIT_MB },
): Promise<LinedFleet> {
  if (text.length <= INLINE_CHARS) return parseWithLines(text, options)
  await turn(ctx)
  try {
    return await inThread(ctx, text, options, limits)
  } finally {
    leave()
  }
}

let running = 0
const waiting: (() => void)[] = []

/** Resolves when a thread may start; whoever got a turn calls `leave`. */
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

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
}

/** What was thrown may quote the file, and people paste secrets into files: only its kind and where it was thrown go to the log. */
function died(error: unknown): RekeyError {
  const { constructor: kind, message, stack = '' } = error instanceof Error ? error : new Error()
  const at = stack.indexOf(message)
  // A message may hold lines that look like frames: those after it are real.
  const frames =
    at < 0
      ? []
      : stack
          .slice(at + message.length)
          .split('\n')
          .filter((line) => /^ {4}at .*:\d+:\d+\)?$/.test(line))
  return new RekeyError('internal', 'The parser of fleet files died; nothing was applied.', { detail: [kind.name, ...frames].join('\n') })
}

async function inThread(ctx: Ctx, text: string, options: FleetOptions, limits: ThreadLimits): Promise<LinedFleet> {
  const { port1: ours, port2: port } = new MessageChannel()
  const bell = new Int32Array(new SharedArrayBuffer(4))
  const workerData: FleetJob = { text, port, bell }
  const thread = new Worker(limits.program ?? PROGRAM, {
    workerData,
    transferList: [port],
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: limits.mb, maxYoungGenerationSizeMb: 64 },
  })
  const timer = new AbortController()
  try {
    const result = await new Promise<FleetResult>((resolve, reject) => {
      thread.once('message', resolve)
      thread.once('error', (error: unknown) => reject(isOutOfMemory(error) ? tooMuch('memory') : died(error)))
      thread.once('messageerror', (error) => reject(died(error)))
      thread.once('exit', () => reject(died(null)))
      // A refusal that is not a fault of the file ends the parse: the thread waits for an answer that does not come.
      ours.on('message', (question: FleetQuestion) => answerTo(question, options, ours, bell, reject))
      ctx.signal.addEventListener('abort', () => reject(gone()), { once: true, signal: timer.signal })
      if (ctx.signal.aborted) reject(gone())
      void sleep(limits.ms, timer.signal).then(() => reject(tooMuch('time')))
    })
    if ('fleet' in result) return result
    throw new RekeyError('fleet_invalid', result.message, { faults: result.faults })
  } finally {
    timer.abort()
    ours.close()
    // The turn is passed on only when its memory is free again.
    await thread.terminate()
  }
}

function answerTo(
  { connector, accounts }: FleetQuestion,
  options: FleetOptions,
  port: MessagePort,
  bell: Int32Array,
  reject: (error: unknown) => void,
): void {
  try {
    const answer: FleetAnswer =
      accounts === null
        ? { capabilities: options.knownConnector(connector) }
        : { refusals: accounts.flatMap((name) => refusalOf(options, connector, name)) }
    port.postMessage(answer)
    Atomics.add(bell, 0, 1)
    Atomics.notify(bell, 0)
  } catch (error) {
    reject(error)
  }
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
