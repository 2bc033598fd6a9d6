import type { Started } from '../../../credential/index.ts'
import { RekeyError } from '../../../kernel/index.ts'

/** An answer "accepted" that started nothing would be a lie. Throws `conflict` if everything selected is under way already. */
export function refuseNone(started: Started): Started {
  if (started.rotations.length > 0) return started
  throw new RekeyError('conflict', 'A rotation is under way already for everything that was selected.', {
    hint: 'See rekey rotation list.',
  })
}
