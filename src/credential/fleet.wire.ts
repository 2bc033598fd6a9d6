/** What the process that parses a large fleet file and the one that started it tell each other. */
import type { Capabilities } from '../connectors/contract.ts'
import { RekeyError } from '../kernel/index.ts'
import type { LinedFleet } from './fleet.parse.ts'

/** What the child is given first. */
export type FleetJob = { readonly text: string }
/** What it is told afterwards: to the first question null if there is no such connector; to the second each refused name and why. */
export type FleetAnswer = { readonly capabilities: Capabilities | null } | { readonly refusals: readonly (readonly [string, string])[] }

/** A part of the fleet: the parts are to be joined in their order. */
export interface FleetPart {
  readonly fleet: LinedFleet['fleet']
  readonly lines: readonly (readonly [string, number])[]
}
/** What it asks: what a connector can do, or which of these names cannot be accounts under it. */
export type FleetQuestion = { readonly connector: string; readonly accounts: readonly string[] | null }
/** What it says: a question, the fleet in parts and that there are no more, the faults of the file, or that it failed itself and where. */
export type FleetWord =
  | FleetQuestion
  | { readonly part: FleetPart }
  | { readonly end: true }
  | { readonly message: string; readonly faults: RekeyError['faults'] }
  | { readonly died: string }

/** Items and lines in one part: reading a part keeps the server from other work for some milliseconds. */
const PART_ITEMS = 1_000
const PART_LINES = 10_000
/** The parser ended without a result. The detail is for the log and quotes nothing of the file. */
export function died(detail: string, hint?: string): RekeyError {
  return new RekeyError('internal', 'The parser of fleet files died; nothing was applied.', {
    detail,
    ...(hint === undefined ? {} : { hint }),
  })
}

/** A fleet in parts that each take little time to read. */
export function* partsOf({ fleet, lines }: LinedFleet): Generator<FleetPart> {
  const { systems, identities, credentials } = fleet
  const listed = [...lines]
  const most = Math.max(systems.length, identities.length, credentials.length)
  for (let i = 0; i * PART_ITEMS < most || i * PART_LINES < listed.length; i++) {
    const cut = <T>(list: readonly T[], size: number) => list.slice(i * size, (i + 1) * size)
    yield {
      fleet: { systems: cut(systems, PART_ITEMS), identities: cut(identities, PART_ITEMS), credentials: cut(credentials, PART_ITEMS) },
      lines: cut(listed, PART_LINES),
    }
  }
}
