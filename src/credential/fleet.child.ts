/** The process that parses a large fleet file. It knows no connector: it asks the process that started it, and waits for each answer. */
import type { Capabilities } from '../connectors/contract.ts'
import { hear, RekeyError, say, traceOf } from '../kernel/index.ts'
import type { FleetOptions } from './fleet.check.ts'
import { type LinedFleet, parseWithLines } from './fleet.parse.ts'
import { type FleetAnswer, type FleetJob, type FleetQuestion, type FleetWord, partsOf } from './fleet.wire.ts'

/** Names in one question: an answer keeps the server from its work for a few milliseconds. */
const NAMES = 5_000

const capabilities = new Map<string, Capabilities | null>()
/** By connector: every name that was asked about, and why it is refused, or null. */
const accounts = new Map<string, Map<string, string | null>>()

const tell = (word: FleetWord) => say(word)

function ask(question: FleetQuestion): FleetAnswer {
  say(question)
  return hear() as FleetAnswer
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

/** True if any of the gathered names is refused. One question for each would take as long as thousands of switches between processes. */
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

type Refused = Pick<RekeyError, 'message' | 'faults'>

function parse(text: string): LinedFleet | Refused {
  try {
    return parseWithLines(text, options)
  } catch (error) {
    if (!(error instanceof RekeyError) || error.code !== 'fleet_invalid') throw error
    return { message: error.message, faults: error.faults }
  }
}

function work(): void {
  const { text } = hear() as FleetJob
  // Every name passes at first. If some are refused, the second time finds their faults among the others.
  const first = parse(text)
  const result = learnRefusals() ? parse(text) : first
  if ('fleet' in result) {
    for (const part of partsOf(result)) tell({ part })
    tell({ end: true })
  } else tell(result)
}

try {
  work()
} catch (error) {
  // What was thrown may quote the file, and people paste secrets into files: only its kind and where it was thrown are told.
  tell({ died: traceOf(error) })
}
