import type { RotationView } from '../../credential/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { rotationColumns } from '../views.ts'

/** Options of `rekey rotation list`. */
export interface RotationListOptions {
  readonly batch?: string
  readonly credential?: string
  readonly state?: string
  readonly limit?: number
}

/** Lists rotations, newest first. */
export async function rotationList(cli: Cli, { batch, credential, state, limit }: RotationListOptions): Promise<number> {
  const client = await cli.client()
  const found = await client.all<RotationView>('/v1/rotations', { batch, credential, state: state?.replaceAll(' ', '_') }, limit)
  cli.out.list(found, rotationColumns(cli.clock.now()), 'There are no such rotations.')
  return EXIT.ok
}
