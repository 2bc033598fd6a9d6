import type { Cli } from '../cli.ts'
import { moveRotation } from './rotation-undo.ts'

/** Lets a blocked rotation go on from where it stood. */
export async function rotationRetry(cli: Cli, id: string): Promise<number> {
  return moveRotation(cli, id, 'retry', {})
}
