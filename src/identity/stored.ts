/** Columns that hold any JSON where a row was changed by hand. */
import type { PolicyFile } from '../policy/index.ts'
import { digestOf } from './policyset.model.ts'

/** True for a list of objects, whatever is in them. */
export function isListOfObjects<T extends object>(value: readonly T[]): boolean {
  const found: unknown = value
  return Array.isArray(found) && found.every((each) => typeof each === 'object' && each !== null)
}

/** The digest of a stored set of policies; null if what is stored is none. */
export function storedDigest(files: unknown): string | null {
  const list = files as readonly PolicyFile[]
  return isListOfObjects(list) ? digestOf(list) : null
}
