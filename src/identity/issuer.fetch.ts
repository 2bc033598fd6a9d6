import type { IncomingMessage } from 'node:http'
import type { AddressGuard } from '../kernel/index.ts'
import { isFetchable } from './issuer.model.ts'
import { askGuarded } from './reach.ts'
import { strictObject } from './workload.json.ts'

const FETCH_MS = 3_000
const MAX_BYTES = 256 * 1024

/** Why something could not be fetched, in words of ours: nothing that the other side sent. */
export class FetchFailed extends Error {}

/**
 * A JSON object from an issuer. Goes to addresses only that the guard lets through, looked at again when the connection is made, so that
 * a name cannot point elsewhere a moment later. Follows no redirect, takes at most 256 KB and 3 seconds in all. Throws `FetchFailed`.
 */
export async function fetchObject(guard: AddressGuard, address: string): Promise<Record<string, unknown>> {
  const url = URL.canParse(address) ? new URL(address) : null
  if (url === null || !isFetchable(url)) throw new FetchFailed('the address is not https')
  const deadline = AbortSignal.timeout(FETCH_MS)
  try {
    const asked = { method: 'GET', headers: { accept: 'application/json' }, body: null, signal: deadline }
    const answer = await askGuarded(guard, url, asked)
    const object = strictObject(await textOf(answer))
    if (object === null) throw new FetchFailed('the answer is no JSON object')
    return object
  } catch (error) {
    if (error instanceof FetchFailed) throw error
    if (deadline.aborted) throw new FetchFailed(`no whole answer in ${FETCH_MS} ms`)
    const code = (error as { code?: unknown }).code
    throw new FetchFailed(typeof code === 'string' ? code : 'the connection failed')
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const { statusCode } = answer
  if (statusCode !== 200) {
    answer.destroy()
    throw new FetchFailed(`it answered with status ${statusCode}`)
  }
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BYTES) {
      answer.destroy()
      throw new FetchFailed(`the answer is larger than ${MAX_BYTES} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
