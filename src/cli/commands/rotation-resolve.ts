import { RekeyError } from '../../kernel/index.ts'
import type { Cli } from '../cli.ts'
import { moveRotation } from './rotation-undo.ts'

/** Options of `rekey rotation resolve`. */
export interface ResolveOptions {
  readonly overrideActivation?: boolean
  readonly irrevocable?: boolean
  readonly by: string
  readonly reason: string
}

/** Decides, by a named human's word, what Rekey cannot find out. */
export async function rotationResolve(cli: Cli, id: string, options: ResolveOptions): Promise<number> {
  if ((options.overrideActivation === true) === (options.irrevocable === true)) {
    throw new RekeyError('bad_input', 'Say one of --override-activation and --irrevocable.')
  }
  const kind = options.irrevocable ? 'irrevocable' : 'override-activation'
  return moveRotation(cli, id, 'resolve', { kind, by: options.by, reason: options.reason })
}
