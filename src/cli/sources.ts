import { resolve } from 'node:path'
import { parse } from 'yaml'
import type { SecretSource } from '../credential/index.ts'
import { RekeyError } from '../kernel/index.ts'

/** What a fleet file names to be read on this machine. Paths are absolute. */
export interface Declared {
  readonly files: ReadonlySet<string>
  readonly variables: ReadonlySet<string>
}

/**
 * Everything that the fleet file itself names as a source. The server says which of them it needs now, and it is asked nothing else:
 * one that was taken over must not be able to collect `/etc/shadow` or any variable from the machine of whoever applies a file.
 */
export function declaredSources(text: string, folder: string): Declared {
  const files = new Set<string>()
  const variables = new Set<string>()
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (typeof inner !== 'string') visit(inner)
      else if (key === 'file' || key === 'caFile') files.add(resolve(folder, inner))
      else if (key === 'env') variables.add(inner)
    }
  }
  visit(parse(text))
  return { files, variables }
}

/** Throws `forbidden` if the server asks for a file or variable that the fleet file does not name. */
export function checkDeclared(declared: Declared, needed: readonly SecretSource[], authorities: readonly string[]): void {
  const strays = [
    ...needed.filter((source) => 'env' in source && !declared.variables.has(source.env)),
    ...needed.filter((source) => 'file' in source && !declared.files.has(resolve(source.file))),
    ...authorities.filter((path) => !declared.files.has(resolve(path))),
  ]
  if (strays.length === 0) return
  throw new RekeyError('forbidden', 'The server asks for files or variables that the fleet file does not name; nothing was read or sent.', {
    hint: 'Do not trust this server until you know why.',
  })
}
