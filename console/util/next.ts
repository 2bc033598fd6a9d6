import { safePath } from './path.ts'

const KEY = 'rekey-next'
const LEVEL = 'rekey-level'

/** Remembers, in this tab alone, where to go after a login that leads over another site, and which level it is to have. */
export function keepNext(path: string | undefined, aal = 1): void {
  if (path === undefined) sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, path)
  sessionStorage.setItem(LEVEL, String(aal))
}

/** The level that was asked for; once. */
export function takeLevel(): number {
  const level = Number(sessionStorage.getItem(LEVEL) ?? 1)
  sessionStorage.removeItem(LEVEL)
  return level
}

/** Where to go now; once. */
export function takeNext(): string {
  const path = safePath(sessionStorage.getItem(KEY))
  sessionStorage.removeItem(KEY)
  return path
}
