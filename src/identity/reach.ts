/** Connections to whom others name: to the very address that the guard has looked at. */
import { lookup as resolve } from 'node:dns'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { LookupFunction } from 'node:net'
import type { AddressGuard } from '../kernel/index.ts'

/** What is sent, and until when it may take. */
export interface Asked {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | null
  readonly signal: AbortSignal
}

/**
 * Asks once, on a connection of its own, and follows no redirect. The addresses that are connected to are those that the guard has let
 * through, of one look-up. Throws what the guard and the network do.
 */
export async function askGuarded(guard: AddressGuard, url: URL, { method, headers, body, signal }: Asked): Promise<IncomingMessage> {
  // An address that is written as one is not looked up; of a name this is only the better word for the fault.
  await Promise.race([guard.check(url.hostname.replace(/^\[|\]$/g, '')), over(signal)])
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  return new Promise((answered, failed) => {
    const sent = request(url, { method, headers, signal, agent: false, lookup: guarded(guard) }, answered)
    sent.on('error', failed).end(body ?? undefined)
  })
}

/** Rejects when time is over, for what knows of none: a look-up of a name. */
function over(signal: AbortSignal): Promise<never> {
  const ended = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  ended.catch(() => undefined)
  return ended
}

/** The system's own look-up, whose every address the guard has to let through. */
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
