import { RekeyError } from '../kernel/index.ts'
import type { Connector } from './contract.ts'
import { mariadb } from './mariadb/index.ts'
import { postgres } from './postgres/index.ts'
import { redis } from './redis/index.ts'

/** Every connector, by the name that fleet.yaml uses. */
export const CONNECTORS: ReadonlyMap<string, Connector> = new Map(
  [postgres, mariadb, redis].map((connector) => [connector.describe().connector, connector]),
)

/** The connector of that name. Throws `target_unsupported` if there is none. */
export function connectorFor(name: string): Connector {
  const connector = CONNECTORS.get(name)
  if (connector) return connector
  throw new RekeyError('target_unsupported', `There is no connector named ${JSON.stringify(name)}.`, {
    hint: `Connectors: ${[...CONNECTORS.keys()].join(', ')}.`,
  })
}
