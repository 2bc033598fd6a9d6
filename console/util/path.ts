/** A path of this console to go on to after a login; anything else is the way home. An address of elsewhere never comes out of it. */
export function safePath(text: unknown): string {
  if (typeof text !== 'string' || !text.startsWith('/') || /^\/[/\\]/.test(text) || /[\p{Cc}\\]/u.test(text)) return '/'
  return /^\/(login|enrol)(\/|\?|$)/.test(text) ? '/' : text
}
