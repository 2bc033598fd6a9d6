import { buildConsole } from '../console.ts'
import { EXIT } from '../exit.ts'
import { Output } from '../output.ts'
import { tellStart } from '../starting.ts'

/** Options of `rekey serve`. */
export interface ServeOptions {
  readonly data?: string
  readonly role?: string
  readonly listen?: string
  readonly json?: boolean
}

/** Runs server and worker until SIGTERM or SIGINT. Where the start takes long, people are told what it does; programs are not. */
export async function serve({ data, role, listen, json = false }: ServeOptions): Promise<number> {
  const output = new Output({ json, color: false })
  const say = (line: string) => void (json || process.stderr.write(`${line}\n`))
  // A worker alone serves no pages.
  if (role !== 'worker') await buildConsole(say)
  const main = await import('../../main.ts')
  await main.serve(
    { data, role, listen },
    tellStart(say, (text) => output.warn(text)),
  )
  return EXIT.ok
}
