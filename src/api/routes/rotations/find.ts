import { findRotation, type RotationView } from '../../../credential/index.ts'
import { RekeyError } from '../../../kernel/index.ts'
import type { ApiParts } from '../../parts.ts'

/** The rotation as it is now. Throws `not_found`, in the words that the use cases use. */
export async function rotationById(parts: ApiParts, id: string): Promise<RotationView> {
  const found = await findRotation(parts.store, id)
  if (found === null) throw new RekeyError('not_found', `No such rotation: ${id}`)
  return found
}
