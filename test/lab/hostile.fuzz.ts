/**
 * Run by a test, as `hostile.child.ts` is: real conversations with a real PostgreSQL, with what the server says changed on the way. Reads
 * address and root from standard input; says which ways it ended, and for how long the event loop stood still at most.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import type { Address, Target } from '../../src/connectors/contract.ts'
import { postgres } from '../../src/connectors/postgres/index.ts'
import { makeCtx, RekeyError, Secret, systemClock } from '../../src/kernel/index.ts'
import { said } from './hostile.ts'
import { startProxy } from './proxy.ts'

interface Input {
  readonly address: Address
  readonly account: string
  readonly secret: string
  readonly runs: number
}

const unchanged = (reply: Buffer) => reply
/** A change of one reply. Places are parts of its length, so that they fall somewhere in each. */
type Change = (reply: Buffer) => Buffer

const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })
const junk = fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes))
const kind = fc.constantFrom(...'RKSNETDCIZAHGWdcs123tnv')
const at = (reply: Buffer, part: number) => Math.floor(reply.length * part)
/** Where the messages of a reply begin. */
function starts(reply: Buffer): number[] {
  const found: number[] = []
  for (let from = 0; from + 5 <= reply.length; from += 1 + Math.max(reply.readInt32BE(from + 1), 4)) found.push(from)
  return found
}
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(place, fc.nat(255)).map(
    ([part, byte]): Change =>
      (reply) => {
        const changed = Buffer.from(reply)
        changed[at(reply, part)] = byte
        return changed
      },
  ),
  place.map(
    (part): Change =>
      (reply) =>
        reply.subarray(0, at(reply, part)),
  ),
  place.map(
    (part): Change =>
      (reply) =>
        reply.subarray(at(reply, part)),
  ),
  fc.tuple(place, junk).map(
    ([part, extra]): Change =>
      (reply) => {
        const from = at(reply, part)
        return Buffer.concat([reply.subarray(0, from), extra, reply.subarray(from)])
      },
  ),
  fc.tuple(kind, junk).map(
    ([letter, body]): Change =>
      (reply) =>
        Buffer.concat([said(letter, body), reply]),
  ),
  fc.tuple(kind, junk).map(
    ([letter, body]): Change =>
      (reply) =>
        Buffer.concat([reply, said(letter, body)]),
  ),
  // A message with another length, letter, or one more time.
  fc.tuple(place, fc.integer({ min: -8, max: 8 })).map(
    ([part, by]): Change =>
      (reply) => {
        const changed = Buffer.from(reply)
        const from = starts(reply)
        const head = from[Math.floor(from.length * part)]
        if (head !== undefined) changed.writeInt32BE(changed.readInt32BE(head + 1) + by, head + 1)
        return changed
      },
  ),
  fc.tuple(place, kind).map(
    ([part, letter]): Change =>
      (reply) => {
        const changed = Buffer.from(reply)
        const from = starts(reply)
        changed.write(letter, from[Math.floor(from.length * part)] ?? 0)
        return changed
      },
  ),
  fc.tuple(place, fc.integer({ min: 2, max: 500 })).map(
    ([part, times]): Change =>
      (reply) => {
        const from = starts(reply)
        const which = Math.floor(from.length * part)
        const [begin = 0, end = reply.length] = [from[which], from[which + 1]]
        return Buffer.concat([
          reply.subarray(0, begin),
          ...Array.from({ length: times }, () => reply.subarray(begin, end)),
          reply.subarray(end),
        ])
      },
  ),
)

const { address, account, secret, runs } = JSON.parse(await text(process.stdin)) as Input
const ctx = makeCtx('test', 'hostile')
const root = Secret.fromText(secret)
const CALLS = {
  identify: (target: Target) => target.identify(ctx),
  discover: (target: Target) => target.discover(ctx),
  grants: (target: Target) => target.listGrants(ctx, account),
  sessions: (target: Target) => target.sessions(ctx, account),
  logins: async (target: Target) => target.logins?.(ctx, account),
  probe: async (target: Target) => {
    const { outcome, code } = await target.probe(ctx, account, root)
    if (outcome !== 'accepted') throw new RekeyError('target_unreachable', 'probe', { detail: code })
  },
}
const TIMEOUT_MS = 250
const ended = new Map<string, number>()
const proxy = await startProxy(address)

/** Makes the call while the replies from `first` on are changed, in turn. */
async function converse(call: keyof typeof CALLS, first: number, changes: readonly Change[]): Promise<void> {
  let turn = 0
  proxy.rewriteReplies((reply) => (changes[turn++ - first] ?? unchanged)(reply))
  const spec = { name: 'x', address: { ...address, port: proxy.port }, rootAccount: account, rootSecrets: [root] }
  const target = postgres.open({ ...spec, timeoutMs: TIMEOUT_MS, concurrent: 1 })
  const began = systemClock.monotonicMs()
  let end = 'accepted'
  try {
    await CALLS[call](target)
  } catch (error) {
    if (!(error instanceof RekeyError) || !error.code.startsWith('target_')) throw error
    end = `${error.code} ${error.detail}`
  } finally {
    await target.close()
  }
  if (systemClock.monotonicMs() - began > TIMEOUT_MS + 5000) throw new Error(`${call} did not give up`)
  ended.set(end, (ended.get(end) ?? 0) + 1)
}

const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()
const conversation = fc.tuple(
  fc.constantFrom(...(Object.keys(CALLS) as (keyof typeof CALLS)[])),
  fc.nat(6),
  fc.array(change, { minLength: 1, maxLength: 3 }),
)
await fc.assert(
  fc.asyncProperty(conversation, ([call, first, changes]) => converse(call, first, changes)),
  { numRuns: runs, endOnFailure: true },
)
await proxy.stop()
process.stdout.write(`${JSON.stringify(JSON.stringify([...ended]))}\n${JSON.stringify(String(Math.round(delay.max / 1e6)))}\n`)
