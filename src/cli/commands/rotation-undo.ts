import type { RotationView } from '../../credential/index.ts'
import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'
import { rotationPath } from '../ids.ts'
import { rotationLines } from '../views.ts'

/** Takes a rotation back, as long as the old value is not retired. */
export async function rotationUndo(cli: Cli, id: string, { reason }: { readonly reason?: string }): Promise<number> {
  return moveRotation(cli, id, 'undo', { reason })
}

/** Asks the server for a transition and shows the rotation as it is then. */
export async function moveRotation(cli: Cli, id: string, verb: 'retry' | 'undo' | 'resolve', body: object): Promise<number> {
  const path = rotationPath(id, verb)
  const client = await cli.client()
  const view = await client.post<RotationView>(path, body, { startsWork: false })
  if (cli.out.json) cli.out.object(view)
  else for (const line of rotationLines(view, cli.out.colors('stdout'))) cli.out.line(line)
  return EXIT.ok
}
