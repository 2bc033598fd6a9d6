import type { RotationView } from '../../credential/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { showRotation } from '../views.ts'

/** Shows one rotation with all its times. */
export async function rotationShow(cli: Cli, id: string): Promise<number> {
  const view = await (await cli.client()).get<RotationView>(`/v1/rotations/${encodeURIComponent(id)}`)
  showRotation(view, cli.clock.now(), cli.out)
  return EXIT.ok
}
