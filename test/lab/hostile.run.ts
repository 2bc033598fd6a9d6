import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

/** How a child ended. */
export interface HostileRun {
  /** What it answered, one a line. */
  readonly lines: readonly string[]
  /** Signal, exit code, and all that it printed besides: `[null, 0, '']` is a good end. */
  readonly end: readonly [NodeJS.Signals | null, number | null, string]
}

/**
 * Runs `hostile.child.ts` or `hostile.fuzz.ts` with this on its standard input. One that is stuck is killed, and one that takes more memory
 * for its values than `heapMib` ends by itself.
 */
export async function runHostile(child: 'child' | 'fuzz', input: unknown, timeout: number, heapMib = 2048): Promise<HostileRun> {
  const path = new URL(`./hostile.${child}.ts`, import.meta.url).pathname
  const ran = spawn(process.execPath, [`--max-old-space-size=${heapMib}`, path], {
    timeout,
    killSignal: 'SIGKILL',
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  ran.stdin.end(JSON.stringify(input))
  const [out, errors] = await Promise.all([text(ran.stdout), text(ran.stderr), once(ran, 'close')])
  const all = out.split('\n').filter((line) => line !== '')
  const lines = all.filter((line) => line.startsWith('"')).map((line) => JSON.parse(line) as string)
  const besides = all.filter((line) => !line.startsWith('"')).join('\n')
  return { lines, end: [ran.signalCode, ran.exitCode, errors + besides] }
}
