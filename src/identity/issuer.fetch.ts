import { lookup as resolve } from 'node:dns'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { LookupFunction } from 'node:net'
import type { AddressGuard } from '../kernel/index.ts'
import { isFetchable } from './issuer.model.ts'
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
    await Promise.race([guard.check(url.hostname.replace(/^\[|\]$/g, '')), late(deadline)])
    const answer = await ask(url, guard, deadline)
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

/** Rejects at the deadline, for what knows of none: a look-up of a name. */
function late(deadline: AbortSignal): Promise<never> {
  const over = new Promise<never>((_resolve, reject) => {
    deadline.addEventListener('abort', () => reject(new FetchFailed(`no whole answer in ${FETCH_MS} ms`)), { once: true })
  })
  over.catch(() => undefined)
  return over
}

function ask(url: URL, guard: AddressGuard, signal: AbortSignal): Promise<IncomingMessage> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  return new Promise((answered, failed) => {
    const options = { signal, agent: false as const, lookup: guarded(guard), headers: { accept: 'application/json' } }
    request(url, options, answered).on('error', failed).end()
  })
}

/** The system's own look-up, without the addresses that are refused. */
function guarded(guard: AddressGuard): LookupFunction {
  return (hostname, options, done) => {
    resolve(hostname, { ...options, all: true }, async (error, found) => {
      if (error) return done(error, '')
      try {
        for (const { address } of found) await guard.check(address)
      } catch (refused) {
        return done(refused as NodeJS.ErrnoException, '')
      }
      const [first] = found
      if (options.all) done(null, found)
      else done(null, first?.address ?? '', first?.family)
    })
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
