import { safePath } from './path.ts'

const KEY = 'rekey-next'

/** Remembers, in this tab alone, where to go after a login that leads over another site. */
export function keepNext(path: string | undefined): void {
  if (path === undefined) sessionStorage.removeItem(KEY)
  else sessionStorage.setItem(KEY, path)
}

/** Where to go now; once. */
export function takeNext(): string {
  const path = safePath(sessionStorage.getItem(KEY))
  sessionStorage.removeItem(KEY)
  return path
}
