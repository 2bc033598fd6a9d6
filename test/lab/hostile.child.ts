/**
 * Run by a test, so that what ends or stops a process is not the test's own. Reads a list of calls from standard input and makes each on a
 * target of its own, some at once; says in a line for each what came of it, then by how many MiB this process grew, then for how long its
 * event loop stood still at most. What is thrown beside the call ends this process.
 */
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { text } from 'node:stream/consumers'
import type { Address } from '../../src/connectors/contract.ts'
import { connectorFor } from '../../src/connectors/registry.ts'
import { makeCtx, RekeyError, Secret } from '../../src/kernel/index.ts'

/** One call. */
export interface HostileCall {
  readonly connector: string
  readonly address: Address
  readonly call: 'identify' | 'discover' | 'probe'
  /** Left out: 1500. */
  readonly timeoutMs?: number
}

const AT_ONCE = 10
const ctx = makeCtx('test', 'hostile')
const value = Secret.fromText('a value')

async function made({ connector, address, call, timeoutMs = 1500 }: HostileCall): Promise<string> {
  const spec = { name: 'x', address, rootAccount: 'root', rootSecrets: [value], timeoutMs, concurrent: 1 }
  const target = connectorFor(connector).open(spec)
  const account = connector === 'mariadb' ? 'svc@%' : 'svc'
  try {
    if (call === 'probe') {
      const { outcome, code } = await target.probe(ctx, account, value)
      return `${outcome} ${code}`
    }
    await target[call](ctx)
    return 'accepted'
  } catch (error) {
    return error instanceof RekeyError ? `${error.code} ${error.detail}` : `thrown ${(error as Error).stack}`
  } finally {
    await target.close()
  }
}

const calls = JSON.parse(await text(process.stdin)) as HostileCall[]
// The libraries and their first use are no part of what a server does to us.
await Promise.all([import('mysql2'), import('redis'), import('pg')])
const before = process.memoryUsage.rss()
const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()
for (let first = 0; first < calls.length; first += AT_ONCE) {
  const answers = await Promise.all(calls.slice(first, first + AT_ONCE).map(made))
  process.stdout.write(answers.map((answer) => `${JSON.stringify(answer)}\n`).join(''))
}
// Not what `getrusage` says: that begins with the memory of the process that started this one.
const mostKib = Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
const grownMib = (mostKib * 1024 - before) / 1024 / 1024
process.stdout.write(`${JSON.stringify(`grown ${Math.round(grownMib)}`)}\n`)
process.stdout.write(`${JSON.stringify(`stuck ${Math.round(delay.max / 1e6)}`)}\n`)
// A socket that a library leaves open does not keep this process: what is asked here is what ends or stops it before.
process.exit(0)
