/**
 * Runs the text scripts of `test/cli/`. Commands:
 *
 *     exec PROGRAM ARG…           runs it in $WORK; must exit 0 (`! exec`: must not)
 *     exit N                      the last program's status was N
 *     stdout RE, stderr RE        the last program's output matches (`!`: does not); ^ and $ stand at lines
 *     stdin FILE                  the next program reads this file
 *     cmp A B                     two files are equal (`stdout`, `stderr`: the last program's); `! cmp`: they differ
 *     exists PATH…                each is there (`!`: none is)
 *     env NAME=VALUE…             for this script's programs and as $NAME
 *     start NAME RE PROGRAM ARG…  runs in the background, waits until its output matches; RE's named groups become variables
 *     stop NAME                   SIGTERM, waits for its end; `exit`, `stdout`, `stderr` then speak of it
 *     skip WHY                    ends the script; only sensible behind a condition
 *
 * Conditions: `root`, `exec:PROGRAM` (it is in PATH). Variables: $WORK, $HOME, $PORT1 … $PORT9 (free loopback ports), the environment.
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { freePort } from '../lab/ports.ts'
import { type Outcome, type Started, startProgram, within } from './process.ts'
import { type Command, expand, parseScript } from './script.ts'

const PROGRAM_MS = 60_000
const READY_MS = 60_000
const STOP_MS = 20_000
const READY_POLL_MS = 20

/** Thrown by `skip`; carries the reason. */
export class Skipped extends Error {}

interface State {
  readonly work: string
  readonly variables: Record<string, string>
  readonly servers: Map<string, Started>
  last: Outcome | null
  stdin: string | null
}

type Verb = (state: State, args: readonly string[], command: Command) => Promise<void> | void

/**
 * Runs one script in the empty folder `work`. Resolves if all of it held. Rejects with `Skipped`, or with an Error that names
 * the file, the line and the last output. No program that it started is left when it settles.
 */
export async function runScript(name: string, text: string, work: string, environment: Record<string, string>): Promise<void> {
  const script = parseScript(text)
  const home = join(work, 'home')
  mkdirSync(home, { recursive: true, mode: 0o700 })
  for (const [path, content] of script.files) {
    mkdirSync(dirname(join(work, path)), { recursive: true })
    writeFileSync(join(work, path), content)
  }
  const variables = { ...environment, WORK: work, HOME: home, ...(await freePorts(text)) }
  const state: State = { work, variables, servers: new Map(), last: null, stdin: null }
  try {
    for (const command of script.commands) await step(name, state, command)
  } finally {
    await Promise.all([...state.servers.values()].map(end))
  }
}

async function step(name: string, state: State, command: Command): Promise<void> {
  try {
    if (!command.conditions.every((condition) => holds(condition, state))) return
    const verb = VERBS[command.name]
    if (!verb) throw new Error(`unknown command ${command.name}`)
    if (command.mustFail && !NEGATABLE.has(command.name)) throw new Error(`${command.name} cannot be negated`)
    const args = command.words.map((word) => expand(word, state.variables))
    await verb(state, args, command)
  } catch (error) {
    if (error instanceof Skipped) throw error
    const why = error instanceof Error ? error.message : String(error)
    const heard = state.last ? `\n[stdout]\n${state.last.stdout}[stderr]\n${state.last.stderr}[status] ${state.last.status}` : ''
    throw new Error(`${name}:${command.line}: ${command.source}\n${why}${heard}`)
  }
}

const NEGATABLE = new Set(['exec', 'stdout', 'stderr', 'cmp', 'exists'])

const VERBS: Readonly<Record<string, Verb>> = {
  async exec(state, args, { mustFail }) {
    const stdin = state.stdin === null ? null : readFileSync(state.stdin)
    state.stdin = null
    const program = startProgram(args, state.work, state.variables, stdin)
    const outcome = await within(program.done, PROGRAM_MS)
    // What it left behind in its group would outlive the script.
    program.destroy()
    state.last = outcome ?? { ...program.output(), status: 'too late' }
    if (!outcome) throw new Error(`did not end within ${PROGRAM_MS} ms`)
    if ((outcome.status === 0) === mustFail) throw new Error(mustFail ? 'succeeded, but must fail' : `ended with ${outcome.status}`)
  },
  exit(state, [wanted]) {
    const { status } = lastOf(state)
    if (String(status) !== wanted) throw new Error(`the status is ${status}, not ${wanted}`)
  },
  stdout: (state, [pattern], { mustFail }) => match(lastOf(state).stdout, pattern, mustFail),
  stderr: (state, [pattern], { mustFail }) => match(lastOf(state).stderr, pattern, mustFail),
  stdin(state, [file]) {
    state.stdin = resolve(state.work, file ?? '')
    accessSync(state.stdin, constants.R_OK)
  },
  cmp(state, [left, right], { mustFail }) {
    const [a, b] = [contentOf(state, left), contentOf(state, right)]
    if (a === b && mustFail) throw new Error('they are equal')
    if (a === b || mustFail) return
    const at = a.split('\n').findIndex((line, index) => line !== b.split('\n')[index])
    throw new Error(`they differ at line ${(at < 0 ? a.split('\n').length : at) + 1}:\n[${left}]\n${a}[${right}]\n${b}`)
  },
  exists(state, paths, { mustFail }) {
    if (paths.length === 0) throw new Error('a path is missing')
    const wrong = paths.filter((path) => existsSync(resolve(state.work, path)) === mustFail)
    if (wrong.length > 0) throw new Error(`${wrong.join(', ')} ${mustFail ? 'is there' : 'is not there'}`)
  },
  env(state, settings) {
    for (const setting of settings) {
      const at = setting.indexOf('=')
      if (at < 1) throw new Error(`${setting} is not NAME=VALUE`)
      state.variables[setting.slice(0, at)] = setting.slice(at + 1)
    }
  },
  async start(state, [server, pattern, ...argv]) {
    if (!server || !pattern) throw new Error('wanted: start NAME REGEXP PROGRAM ARG…')
    if (state.servers.has(server)) throw new Error(`${server} is running already`)
    const program = startProgram(argv, state.work, state.variables, null)
    state.servers.set(server, program)
    const found = await ready(state, program, new RegExp(pattern, 'm'))
    Object.assign(state.variables, found.groups ?? {})
  },
  async stop(state, [server]) {
    const program = state.servers.get(server ?? '')
    if (!program) throw new Error(`${server} is not running`)
    state.servers.delete(server ?? '')
    state.last = await end(program)
  },
  skip(_, words) {
    throw new Skipped(words.join(' '))
  },
}

function lastOf(state: State): Outcome {
  if (!state.last) throw new Error('no program has run yet')
  return state.last
}

function match(text: string, pattern: string | undefined, mustFail: boolean): void {
  if (!pattern) throw new Error('a regular expression is missing')
  if (new RegExp(pattern, 'm').test(text) === mustFail) throw new Error(mustFail ? 'matches, but must not' : 'does not match')
}

function contentOf(state: State, name = ''): string {
  return name === 'stdout' || name === 'stderr' ? lastOf(state)[name] : readFileSync(resolve(state.work, name), 'utf8')
}

/** Waits until the output of a server matches. Throws if it ends first or takes too long. */
async function ready(state: State, program: Started, pattern: RegExp): Promise<RegExpExecArray> {
  const deadline = performance.now() + READY_MS
  while (performance.now() < deadline) {
    const { stdout, stderr } = program.output()
    const found = pattern.exec(stdout) ?? pattern.exec(stderr)
    if (found) return found
    const ended = await within(program.done, READY_POLL_MS)
    if (!ended) continue
    state.last = ended
    throw new Error(`ended with ${ended.status} before it was ready`)
  }
  state.last = { ...program.output(), status: 'running' }
  throw new Error(`was not ready within ${READY_MS} ms`)
}

/** Asks a program to end, then makes it. Rejects if it had to be made. */
async function end(program: Started): Promise<Outcome> {
  program.terminate()
  const outcome = await within(program.done, STOP_MS)
  program.destroy()
  if (!outcome) throw new Error(`did not end within ${STOP_MS} ms of SIGTERM`)
  return outcome
}

function holds(condition: string, state: State): boolean {
  if (condition.startsWith('!')) return !holds(condition.slice(1), state)
  if (condition === 'root') return process.getuid?.() === 0
  if (condition.startsWith('exec:')) return isInPath(condition.slice(5), state.variables.PATH ?? '')
  throw new Error(`unknown condition ${condition}`)
}

function isInPath(program: string, path: string): boolean {
  return path.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** A free loopback port for every $PORTn that the script names. All are taken at once, so that no two are the same. */
async function freePorts(text: string): Promise<Record<string, string>> {
  const names = [...new Set([...text.matchAll(/\$\{?(PORT\d)\b/g)].map((found) => found[1] ?? ''))]
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, String(await freePort())])))
}
