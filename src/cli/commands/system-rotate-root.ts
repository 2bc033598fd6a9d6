import type { Started } from '../../credential/index.ts'
import type { Cli } from '../cli.ts'
import { announce } from './rotation-start.ts'

/** Options of `rekey system rotate-root`. */
export interface RotateRootOptions {
  readonly wait?: boolean
  readonly reason?: string
}

/** Rotates the root credential of a system. */
export async function systemRotateRoot(cli: Cli, system: string, { wait, reason }: RotateRootOptions): Promise<number> {
  const client = await cli.client()
  const path = `/v1/systems/${encodeURIComponent(system)}/rotate-root`
  return announce(cli, await client.post<Started>(path, { reason }, { startsWork: true }), wait === true)
}
