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

const BY_HAND =
  'The old value may still work, and a later rotation need not take it away: have it ended on the system by hand. ' +
  'It stays in `rekey usable` and among the findings.'

/** Decides, by a named human's word, what Rekey cannot find out. */
export async function rotationResolve(cli: Cli, id: string, options: ResolveOptions): Promise<number> {
  if ((options.overrideActivation === true) === (options.irrevocable === true)) {
    throw new RekeyError('bad_input', 'Say one of --override-activation and --irrevocable.')
  }
  const kind = options.irrevocable ? 'irrevocable' : 'override-activation'
  const status = await moveRotation(cli, id, 'resolve', { kind, by: options.by, reason: options.reason })
  if (options.irrevocable && !cli.out.json) cli.out.note(BY_HAND)
  return status
}
