/** The command line: parses, runs one command, and turns whatever it throws into text and an exit status. */
import { CommanderError } from 'commander'
import { RekeyError } from '../kernel/index.ts'
import { EXIT, exitOf, Interrupted } from './exit.ts'
import { errorLines } from './output.ts'
import { makeProgram } from './program.ts'

/** Runs the command that the arguments name. Resolves with the exit status; never rejects. */
async function run(args: readonly string[]): Promise<number> {
  const json = args.includes('--json')
  let status: number = EXIT.ok
  try {
    await makeProgram((result) => {
      status = result
    }, json).parseAsync(args, { from: 'user' })
    return status
  } catch (error) {
    if (error instanceof CommanderError) return usageStatus(error, json)
    if (!(error instanceof Interrupted)) for (const line of errorLines(error, json)) process.stderr.write(`${line}\n`)
    return exitOf(error)
  }
}

/** Commander has said its piece itself, but not as JSON. Help and version are no errors. */
function usageStatus({ exitCode, code, message }: CommanderError, json: boolean): number {
  if (exitCode === 0) return EXIT.ok
  const what = code === 'commander.help' ? 'A command is missing.' : message.replace(/^error: /, '')
  const fault = new RekeyError('bad_input', what, { hint: 'See the same command with --help.' })
  if (json) for (const line of errorLines(fault, true)) process.stderr.write(`${line}\n`)
  return EXIT.usage
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? EXIT.outputClosed : EXIT.failed))
}
// Not process.exit: what is still to be written to a pipe would be lost.
process.exitCode = await run(process.argv.slice(2))
