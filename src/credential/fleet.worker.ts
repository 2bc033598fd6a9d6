/** The thread that parses a large fleet file. It knows no connector: it asks the thread that started it, and waits for each answer. */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { Capabilities } from '../connectors/contract.ts'
import { RekeyError } from '../kernel/index.ts'
import type { FleetOptions } from './fleet.check.ts'
import { type LinedFleet, parseWithLines } from './fleet.parse.ts'

/** What the thread is given. */
export interface FleetJob {
  readonly text: string
  readonly port: MessagePort
  /** Counts the answers. */
  readonly bell: Int32Array
}

/** What it asks: what a connector can do, or which of these names cannot be accounts under it. */
export type FleetQuestion = { readonly connector: string; readonly accounts: readonly string[] | null }
/** To the first, null if there is no such connector; to the second, why the name is refused, for each that is. */
export type FleetAnswer = { readonly capabilities: Capabilities | null } | { readonly refusals: readonly (readonly [string, string])[] }
/** What it ends with. */
export type FleetResult = LinedFleet | { readonly message: string; readonly faults: RekeyError['faults'] }

/** Names in one question: an answer keeps the other thread from its work for a few milliseconds. */
const NAMES = 5_000

const { text, port, bell } = workerData as FleetJob
const capabilities = new Map<string, Capabilities | null>()
/** By connector: every name that was asked about, and why it is refused, or null. */
const accounts = new Map<string, Map<string, string | null>>()

function ask(question: FleetQuestion): FleetAnswer {
  const before = Atomics.load(bell, 0)
  port.postMessage(question)
  // The bell of the answer before may still ring: only its count tells.
  while (Atomics.load(bell, 0) === before) Atomics.wait(bell, 0, before)
  const got = receiveMessageOnPort(port) as { message: FleetAnswer } | undefined
  if (got === undefined) throw new RekeyError('internal', 'The parser of fleet files got no answer.')
  return got.message
}

const options: FleetOptions = {
  knownConnector(connector) {
    const known = capabilities.get(connector)
    if (known !== undefined) return known
    const answer = ask({ connector, accounts: null })
    const found = 'capabilities' in answer ? answer.capabilities : null
    capabilities.set(connector, found)
    return found
  },
  checkAccount(connector, account) {
    const names = accounts.get(connector) ?? new Map<string, string | null>()
    accounts.set(connector, names)
    const refusal = names.get(account)
    if (refusal === undefined) names.set(account, null)
    else if (refusal !== null) throw new RekeyError('bad_input', refusal)
  },
}

/** True if any of the gathered names is refused. One question for each would take as long as thousands of switches between threads. */
function learnRefusals(): boolean {
  let any = false
  for (const [connector, names] of accounts) {
    const all = [...names.keys()]
    for (let from = 0; from < all.length; from += NAMES) {
      const answer = ask({ connector, accounts: all.slice(from, from + NAMES) })
      for (const [name, refusal] of 'refusals' in answer ? answer.refusals : []) {
        names.set(name, refusal)
        any = true
      }
    }
  }
  return any
}

function parse(): FleetResult {
  try {
    return parseWithLines(text, options)
  } catch (error) {
    if (!(error instanceof RekeyError) || error.code !== 'fleet_invalid') throw error
    return { message: error.message, faults: error.faults }
  }
}

// Every name passes at first. If some are refused, the second time finds their faults among the others.
const first = parse()
parentPort?.postMessage(learnRefusals() ? parse() : first)
