import { buildConsole } from '../console.ts'
import { EXIT } from '../exit.ts'

/** Options of `rekey serve`. */
export interface ServeOptions {
  readonly data?: string
  readonly role?: string
  readonly listen?: string
}

/** Runs server and worker until SIGTERM or SIGINT. */
export async function serve({ data, role, listen }: ServeOptions): Promise<number> {
  // A worker alone serves no pages.
  if (role !== 'worker') await buildConsole((line) => void process.stderr.write(`${line}\n`))
  const main = await import('../../main.ts')
  await main.serve({ data, role, listen })
  return EXIT.ok
}
