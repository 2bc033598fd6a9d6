/** Deeper than any token is. */
const DEPTH_MAX = 12

/**
 * A JSON object in which no name comes twice, at any depth; null for anything else. RFC 7519 section 4 lets a reader take the last of two
 * equal names; who took the first would read another token than we do.
 */
export function strictObject(text: string): Record<string, unknown> | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  return hasDoubles(text) ? null : (value as Record<string, unknown>)
}

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g

/** Of a text that is JSON: whether a name comes twice in one object, or it is too deep to look at. */
function hasDoubles(text: string): boolean {
  /** Names of each open object; null for an array. */
  const open: (Set<string> | null)[] = []
  let name = false
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : null)
      if (open.length > DEPTH_MAX) return true
      name = token === '{'
    } else if (token === '}' || token === ']') open.pop()
    else if (token === ',') name = open.at(-1) !== null
    else if (token === ':') name = false
    else if (name) {
      const names = open.at(-1)
      const key = JSON.parse(token) as string
      if (names?.has(key)) return true
      names?.add(key)
    }
  }
  return false
}
