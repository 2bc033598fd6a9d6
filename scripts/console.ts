/** `sh scripts/run.sh console`: the console as `rekey serve` would build it. Exit code 1 if it cannot be built. */
import { buildConsole } from '../src/cli/console.ts'

const built = await buildConsole((line) => console.error(line))
if (built === 'fresh') console.error('rekey: the console is built')
if (built !== 'fresh' && built !== 'built') process.exitCode = 1
