import { isId, printable, RekeyError } from '../kernel/index.ts'

const SHOWN_CHARS = 60

/**
 * The way to a rotation, and to what is asked of it. Throws `bad_input` for what cannot be an id, in the user's words and before a
 * server is asked.
 */
export function rotationPath(id: string, verb?: 'retry' | 'undo' | 'resolve'): string {
  if (!isId(id.toLowerCase())) {
    const shown = id.length > SHOWN_CHARS ? `${id.slice(0, SHOWN_CHARS)}...` : id
    throw new RekeyError('bad_input', `"${printable(shown)}" is not the id of a rotation, such as 01990a4e-52c0-7d3e-8f00-3c1b5f2a9d10.`, {
      hint: 'Ids are listed by: rekey rotation list. For those of one credential: rekey rotation list --credential NAME.',
    })
  }
  return `/v1/rotations/${id}${verb === undefined ? '' : `/${verb}`}`
}
