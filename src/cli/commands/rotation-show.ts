import type { RotationDetail } from '../../credential/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { rotationPath } from '../ids.ts'
import { showRotation } from '../views.ts'

/** Shows one rotation with all its times, and what people did to it. */
export async function rotationShow(cli: Cli, id: string): Promise<number> {
  const path = rotationPath(id)
  const view = await (await cli.client()).get<RotationDetail>(path)
  showRotation(view, cli.clock.now(), cli.out)
  return EXIT.ok
}
