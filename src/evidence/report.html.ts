/** Text that is already HTML. Only `html` and `raw` make it, so that no value reaches the page unescaped. */
export interface Html {
  readonly html: string
}

type Part = string | number | Html | readonly Html[]

// Controls, zero-width and bidirectional characters could make the page read otherwise than its text is.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu
const ESCAPES = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
])

/** A template whose values are escaped, unless they are HTML already. */
export function html(texts: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: texts.reduce((page, text, i) => `${page}${show(parts[i - 1])}${text}`) }
}

/** HTML as it stands. For constants of this program only. */
export function raw(constant: string): Html {
  return { html: constant }
}

/** Any text, fit for an element or a quoted attribute. Characters that cannot be seen are named instead. */
export function escapeHtml(text: string): string {
  return text
    .replace(/[&<>"']/g, (character) => ESCAPES.get(character) ?? '')
    .replace(INVISIBLE, (character) => `[U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`)
}

function show(part: Part | undefined): string {
  if (typeof part === 'string' || typeof part === 'number') return escapeHtml(String(part))
  if (part === undefined) return ''
  return 'html' in part ? part.html : part.map((one) => one.html).join('')
}
