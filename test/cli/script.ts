/**
 * The language of `test/cli/*.txt`, after Go's testscript. One command a line, `#` comments, 'single quotes' (a quote inside is
 * doubled) keep blanks and `$`; elsewhere `$NAME` and `${NAME}` are replaced. `! command` must fail, `[cond] command` runs only if
 * the condition holds (`[!cond]`: does not). Files for the script follow at its end, each after a line `-- name --`.
 */

/** A word of a command: literal text and `$` variables are apart, since variables are known only when the command runs. */
export type Word = readonly { readonly text: string; readonly quoted: boolean }[]

export interface Command {
  /** From 1. */
  readonly line: number
  readonly source: string
  /** Conditions that must hold; one with a leading `!` must not. */
  readonly conditions: readonly string[]
  /** `!` stood before it. */
  readonly mustFail: boolean
  readonly name: string
  readonly words: readonly Word[]
}

export interface Script {
  readonly commands: readonly Command[]
  /** Relative path → content. */
  readonly files: ReadonlyMap<string, string>
}

/** Reads a script. Throws an Error that names the line if it is not one. */
export function parseScript(text: string): Script {
  const lines = text.split('\n')
  const at = lines.findIndex((line) => sectionName(line) !== null)
  const body = at < 0 ? lines : lines.slice(0, at)
  return {
    commands: body.flatMap((line, index) => parseCommand(line, index + 1) ?? []),
    files: at < 0 ? new Map() : parseFiles(lines.slice(at)),
  }
}

function sectionName(line: string): string | null {
  return /^-- (\S.*?) --\s*$/.exec(line)?.[1] ?? null
}

function parseFiles(lines: readonly string[]): Map<string, string> {
  const files = new Map<string, string>()
  let name = ''
  for (const [index, line] of lines.entries()) {
    const section = sectionName(line)
    if (section === null) {
      // The break after the last line of the script belongs to that line.
      if (index < lines.length - 1 || line !== '') files.set(name, `${files.get(name) ?? ''}${line}\n`)
      continue
    }
    if (section.startsWith('/') || section.split('/').includes('..')) throw new Error(`file ${section} would lie outside $WORK`)
    if (files.has(section)) throw new Error(`file ${section} is there twice`)
    name = section
    files.set(name, '')
  }
  return files
}

function parseCommand(source: string, line: number): Command | null {
  const conditions: string[] = []
  let rest = source.trim()
  if (rest === '' || rest.startsWith('#')) return null
  for (let match = /^\[([^\]]+)\]\s*/.exec(rest); match; match = /^\[([^\]]+)\]\s*/.exec(rest)) {
    conditions.push(match[1] ?? '')
    rest = rest.slice(match[0].length)
  }
  const mustFail = /^!\s/.test(rest)
  const words = splitWords(mustFail ? rest.slice(1) : rest, line)
  const name = words[0]?.map(({ text }) => text).join('')
  if (!name) throw new Error(`line ${line}: a command is missing`)
  return { line, source: source.trim(), conditions, mustFail, name, words: words.slice(1) }
}

function splitWords(text: string, line: number): Word[] {
  const words: { text: string; quoted: boolean }[][] = []
  const token = /(\s+)|(#.*)|'((?:[^']|'')*)'|([^\s']+)/gy
  let open = false
  let end = 0
  for (let match = token.exec(text); match; match = token.exec(text)) {
    end = token.lastIndex
    const [, blank, comment, quoted, bare] = match
    if (comment !== undefined && !open) break
    if (blank !== undefined) {
      open = false
      continue
    }
    const part =
      quoted === undefined ? { text: bare ?? comment ?? '', quoted: false } : { text: quoted.replaceAll("''", "'"), quoted: true }
    if (open) words.at(-1)?.push(part)
    else words.push([part])
    open = true
  }
  if (end < text.length && !/^\s*#/.test(text.slice(end)) && text[end] === "'") throw new Error(`line ${line}: a quote is not closed`)
  return words
}

/** A word with its variables replaced. Throws if one is not set: a misspelt name must not become nothing. */
export function expand(word: Word, variables: Readonly<Record<string, string>>): string {
  const replaced = word.map(({ text, quoted }) => {
    if (quoted) return text
    return text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced: string | undefined, bare: string | undefined) => {
      const name = braced ?? bare ?? ''
      const value = variables[name]
      if (value === undefined) throw new Error(`$${name} is not set`)
      return value
    })
  })
  return replaced.join('')
}
