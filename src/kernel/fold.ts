import { domainToASCII, domainToUnicode } from 'node:url'

/** What nobody sees and no comparison of names counts: soft hyphens, joiners, selectors of variants. */
const IGNORED = /\p{Default_Ignorable_Code_Point}/gu

/** What may be a domain name. Anything else (`a/b`, `[::1]`) the parser of hosts would cut off or take for something else. */
const DOMAIN = /^[\p{L}\p{M}\p{N}._-]+$/u

/** An index of PostgreSQL takes 2,700 bytes. What is longer than this folds like whatever begins like it: counted as one, never as two. */
const MOST_CHARS = 600

/**
 * The form in which two names are compared: those that differ only in case, in how a letter is composed, in width or style of letters, or
 * in invisible characters, have one. After Unicode's compatibility caseless matching (section 3.13, NFKC_Casefold), by the tables of this
 * runtime: never by a database's `lower`, which goes by the locale that the database was made with. So ß is ss, both sigmas are one, and a
 * dotless i is an i, as in capitals. Folding again changes nothing.
 */
export function nameKey(text: string): string {
  return cut(folded(text))
}

/**
 * The form in which two mail addresses are compared: as `nameKey`, without spaces around it, and the domain in its ASCII form (IDNA, by
 * `domainToASCII`) without a dot at its end. A domain that has no ASCII form stays as it is folded. It is not an address to send to.
 */
export function addressKey(text: string): string {
  const whole = folded(text).trim()
  const at = whole.lastIndexOf('@')
  return cut(at < 0 ? whole : `${whole.slice(0, at)}@${asciiOf(whole.slice(at + 1))}`)
}

/** There and back through capitals: that alone brings ß to ss, and letters together that are one as capitals. */
function folded(text: string): string {
  const even = text.normalize('NFKC').toLowerCase().toUpperCase().toLowerCase()
  return even.replaceAll('ς', 'σ').replaceAll(IGNORED, '').normalize('NFKC')
}

function asciiOf(domain: string): string {
  const name = domain.replaceAll('。', '.').replace(/\.+$/, '')
  if (!DOMAIN.test(name)) return name
  // Punycode holds what was never folded.
  return domainToASCII(folded(domainToUnicode(name))) || name
}

/** Never in the middle of a pair of surrogates, which no database takes. */
const cut = (text: string): string => text.slice(0, MOST_CHARS).toWellFormed()
