import { findRotation, type RotationView, resourcesByName } from '../../../credential/index.ts'
import { RekeyError } from '../../../kernel/index.ts'
import { type Allowed, isMine } from '../../../policy/index.ts'
import type { ApiParts } from '../../parts.ts'

/** Those of the rotations that may be read. */
export async function readable<T extends { readonly credential: string }>(
  parts: ApiParts,
  may: Allowed<'rotation:read'>,
  found: readonly T[],
): Promise<T[]> {
  const resources = await resourcesByName(
    parts.store,
    found.map(({ credential }) => credential),
  )
  return found.filter(({ credential }) => isMine(may, resources.get(credential)))
}

/** The rotation as it is now. Throws `not_found`, in the words that the use cases use. */
export async function rotationById(parts: ApiParts, id: string): Promise<RotationView> {
  const found = await findRotation(parts.store, id)
  if (found === null) throw noRotation(id)
  return found
}

/** Also for one that is not to be seen: the same bytes. */
export function noRotation(id: string): RekeyError {
  return new RekeyError('not_found', `No such rotation: ${id}`)
}
