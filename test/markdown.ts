/** What the documentation tests read out of Markdown: fenced blocks, links, headings, inline code. */
import { posix } from 'node:path'

export interface Block {
  readonly language: string
  readonly text: string
  /** Line of the opening fence, from 1. */
  readonly line: number
}

/** Fenced code blocks, in order. A fence may be indented (in a list): its indent is taken off its lines. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = []
  let open: { indent: number; fence: string; language: string; line: number; lines: string[] } | null = null
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^(\s*)(`{3,})\s*(\S*)/.exec(line)
    if (open && fence && (fence[2] ?? '').length >= open.fence.length && fence[3] === '') {
      blocks.push({ language: open.language, text: `${open.lines.join('\n')}\n`, line: open.line })
      open = null
    } else if (open) open.lines.push(line.slice(Math.min(open.indent, line.search(/\S|$/))))
    else if (fence) open = { indent: (fence[1] ?? '').length, fence: fence[2] ?? '', language: fence[3] ?? '', line: index + 1, lines: [] }
  }
  if (open) throw new Error(`the block that line ${open.line} opens is not closed`)
  return blocks
}

/** The text with its fenced blocks blanked, so that lines keep their numbers. */
export function proseOf(markdown: string): string {
  const lines = markdown.split('\n')
  for (const { line, text } of blocksOf(markdown)) lines.fill('', line - 1, line + text.split('\n').length)
  return lines.join('\n')
}

/** Texts of inline code. */
export function inlineCodeOf(markdown: string): string[] {
  return [...proseOf(markdown).matchAll(/(?<!`)`([^`\n]+)`(?!`)/g)].map((match) => (match[1] ?? '').trim())
}

export interface Link {
  /** Relative to the root; the linking document itself for a bare `#heading`. */
  readonly path: string
  /** Without `#`; null if the link names no heading. */
  readonly heading: string | null
  readonly line: number
}

/** Links to other documents of the repository; those to elsewhere (with a scheme) are left out. */
export function linksOf(document: string, markdown: string): Link[] {
  return proseOf(markdown)
    .replace(/`[^`\n]*`/g, '')
    .split('\n')
    .flatMap((text, index) =>
      [...text.matchAll(/\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)/g)].flatMap((match) => {
        const target = match[1] ?? ''
        if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return []
        const [path = '', heading = null] = target.split('#')
        return { path: path === '' ? document : posix.join(posix.dirname(document), path), heading, line: index + 1 }
      }),
    )
}

/** Anchors of the headings, as the common Git hosts make them. */
export function headingsOf(markdown: string): string[] {
  const seen = new Map<string, number>()
  return [...proseOf(markdown).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)].map((match) => {
    const slug = (match[1] ?? '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-')
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    return count === 0 ? slug : `${slug}-${count}`
  })
}
