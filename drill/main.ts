/** `npm run drill`: a small real fleet is compromised, rotated, and every old secret proven dead. */
import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { messageOf, systemClock } from '../src/kernel/index.ts'
import { keep, kept, leftAnywhere, makeOut, noteLeft, stillRuns, stopKept } from './kept.ts'
import { type Options, readOptions, USAGE } from './options.ts'
import { Resources } from './resources.ts'
import { buildFleet, type Drill, findScope, leak, type Outcome, type Proof, prove, rotate, type Stage, verifyCommand } from './run.ts'
import { Screen } from './screen.ts'
import { type Summary, summaryLines, summaryOf } from './summary.ts'
import { Watch } from './tally.ts'
import { labelled } from './view.ts'

/** npm passes Ctrl-C on to us, which the terminal has already done: both are one. */
const SAME_KEY_MS = 500
const INTERRUPTED = 130

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  let options: Options
  try {
    options = readOptions(args)
  } catch (error) {
    process.stderr.write(`drill: ${messageOf(error)}\n\n${USAGE}\n`)
    return 2
  }
  if (options.help) return say(USAGE)
  if (options.stop) {
    let stopped = 0
    for (const out of options.isOutGiven ? [options.out] : new Set([resolve(options.out), ...leftAnywhere()]))
      stopped += await stopKept(out)
    return say(stopped === 0 ? 'No drill is running.' : `Stopped: ${stopped} processes. Their folder is removed.`)
  }
  const before = kept(options.out)
  if (before && stillRuns(before)) {
    process.stderr.write(`drill: another one is still running. Stop it with: ${stopCommand(options)}\n`)
    return 2
  }
  // A drill that was killed leaves its folder, and perhaps databases that had no time to stop.
  if (before) await stopKept(options.out)
  return runDrill(options)
}

function say(text: string): number {
  process.stdout.write(`${text}\n`)
  return 0
}

async function runDrill(options: Options): Promise<number> {
  makeOut(options.out)
  const colors = !process.env.NO_COLOR && process.env.TERM !== 'dumb'
  const screen = new Screen(process.stdout, { plain: options.plain || process.env.TERM === 'dumb', colors })
  const resources = new Resources(options.out)
  const stopping = new AbortController()
  let over = false
  onInterrupt(() => {
    if (over) return
    if (stopping.signal.aborted) {
      screen.close()
      resources.kill()
      process.exit(INTERRUPTED)
    }
    stopping.abort()
    screen.block(['  stopping everything (once more: at once)'])
  })
  const drill: Drill = { options, screen, resources, watch: new Watch(), startedMs: systemClock.monotonicMs(), signal: stopping.signal }
  let status = 1
  let summary: Summary | null = null
  try {
    summary = await course(drill)
    status = summary.ok ? 0 : 1
  } catch (error) {
    if (!stopping.signal.aborted) screen.line(screen.paint(`drill: ${messageOf(error)}`, 'red'))
  }
  if (stopping.signal.aborted) status = INTERRUPTED
  if (options.keep && summary !== null && status !== INTERRUPTED) leave(drill, summary.url)
  else await clear(drill)
  over = true
  screen.close()
  if (options.json && summary !== null) process.stdout.write(`${JSON.stringify(summary)}\n`)
  if (options.keep) process.exit(status)
  return status
}

/**
 * Calls `act` for each Ctrl-C, SIGTERM or closed terminal, until the process ends: a listener taken away would let a late
 * Ctrl-C kill it in its last milliseconds, with a status that says nothing.
 */
function onInterrupt(act: () => void): void {
  let lastMs = Number.NEGATIVE_INFINITY
  const once = () => {
    const now = systemClock.monotonicMs()
    if (now - lastMs > SAME_KEY_MS) act()
    lastMs = now
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, once)
}

async function course(drill: Drill): Promise<Summary> {
  const { screen, signal } = drill
  screen.line(screen.paint('rekey drill: everything here is real, local and temporary', 'bold'))
  const stage: Stage = await buildFleet(drill)
  await leak(drill, stage)
  const scope = await findScope(drill, stage)
  const outcome: Outcome = await rotate(drill, stage, scope)
  signal.throwIfAborted()
  const proof: Proof = await prove(drill, stage)
  signal.throwIfAborted()
  const summary = summaryOf(drill, stage, outcome, proof)
  for (const line of summaryLines(screen, summary, verifyCommand(shown(proof)))) screen.line(line)
  return summary
}

/** Paths as short as they can be from where the user is. */
function shown(proof: Proof): Proof {
  const short = (path: string) => {
    const near = relative('.', resolve(path))
    return near.startsWith('..') ? resolve(path) : near
  }
  return { ...proof, bundle: short(proof.bundle), key: short(proof.key) }
}

async function clear({ screen, resources, signal }: Drill): Promise<void> {
  screen.block(['  clearing up'])
  const faults = await resources.close()
  screen.settle([])
  for (const fault of faults) screen.line(screen.paint(`drill: while clearing up: ${fault}`, 'red'))
  if (faults.length === 0 && !existsSync(resources.folder))
    screen.line(
      screen.paint(signal.aborted ? 'Everything is stopped and removed.' : 'Everything is stopped and removed; the evidence stays.', 'dim'),
    )
}

function leave({ screen, resources, options }: Drill, url: string): void {
  const { folder } = resources
  keep(options.out, { folder, processes: resources.known() })
  noteLeft(options.out)
  resources.release()
  screen.line()
  screen.line(screen.paint('Everything is left running. To look at it:', 'bold'))
  const server = join(folder, 'rekey')
  screen.line(`  export REKEY_URL=${url} REKEY_TOKEN_FILE=${join(server, 'admin.token')}`)
  screen.line('  bin/rekey status')
  screen.line('  bin/rekey credential list')
  screen.line('  bin/rekey rotation start --all --wait')
  for (const { what, pid } of resources.known()) screen.line(labelled(screen, what, `process ${pid}`))
  screen.line(`To stop it: ${stopCommand(options)}`)
}

/** Names the folder where it is not the usual one, so that it stops this drill and no other. */
function stopCommand({ out, isOutGiven }: Options): string {
  const plain = /^[\w./-]+$/.test(out)
  return `npm run drill -- --stop${isOutGiven ? ` --out ${plain ? out : `'${out.replaceAll("'", "'\\''")}'`}` : ''}`
}
