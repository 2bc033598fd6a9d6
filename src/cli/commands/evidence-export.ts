import { open, rename, rm } from 'node:fs/promises'
import { counted, RekeyError, sleep } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import type { Client } from '../client.ts'
import { EXIT } from '../exit.ts'
import { codeOf } from '../files.ts'

/** Evidence is signed a moment after it is written; an export right after a rotation is to hold that rotation. */
const PUBLISH_PATIENCE_MS = 5_000
const LOOK_AGAIN_MS = 100

/** Writes the evidence bundle to a file, whole or not at all, or to standard output for `-`. */
export async function evidenceExport(cli: Cli, { out: path }: { readonly out: string }): Promise<number> {
  const client = await cli.client()
  await untilPublished(cli, client)
  const bytes = client.bytes('/v1/evidence/bundle')
  if (path === '-') {
    for await (const piece of bytes) if (!process.stdout.write(piece)) await drained()
    return EXIT.ok
  }
  const size = await writeWhole(path, bytes)
  if (cli.out.json) cli.out.object({ file: path, bytes: size })
  else cli.out.note(`Written: ${path}, ${size} bytes. Check it with: rekey evidence verify ${path} --key KEYFILE`)
  return EXIT.ok
}

async function untilPublished({ clock, out }: Cli, client: Client): Promise<void> {
  const until = clock.monotonicMs() + PUBLISH_PATIENCE_MS
  for (;;) {
    const { evidence } = await client.get<{ evidence: { unsequenced: number } }>('/v1/status')
    if (evidence.unsequenced === 0) return
    if (clock.monotonicMs() > until) {
      out.warn(`${counted(evidence.unsequenced, 'event is', 'events are')} not signed yet and not in the bundle`)
      return
    }
    await sleep(LOOK_AGAIN_MS)
  }
}

function drained(): Promise<void> {
  return new Promise((resolve) => process.stdout.once('drain', () => resolve()))
}

async function writeWhole(path: string, bytes: AsyncIterable<Uint8Array>): Promise<number> {
  const partial = `${path}.${process.pid}.part`
  let size = 0
  try {
    await using file = await open(partial, 'wx', 0o600).catch(notWritten(path))
    for await (const piece of bytes) {
      await file.writeFile(piece)
      size += piece.length
    }
    await file.sync()
    await rename(partial, path).catch(notWritten(path))
    return size
  } catch (error) {
    await rm(partial, { force: true })
    throw error
  }
}

function notWritten(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new RekeyError('bad_input', `${path} cannot be written (${codeOf(cause)}).`)
  }
}
