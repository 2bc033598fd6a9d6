/** Shell sessions made of a document's blocks, and the commands that a document mentions. */
import type { Block } from './markdown.ts'

const READY_SECONDS = 60

/**
 * One `sh` script of a document's blocks, which stops at the first command that fails and names the block. `rekey serve` on a line of
 * its own runs on, as it would in a terminal of its own: the script waits until it is ready, and ends it at its end.
 */
export function shellScript(blocks: readonly Block[], document: string): string {
  const parts = blocks.map(({ text, line }) => {
    const lines = text.split('\n').map((one) => (/^rekey serve\b[^&|]*$/.test(one) ? served(one) : one))
    return `block=${document}:${line}\n${lines.join('\n')}`
  })
  return `${PROLOGUE}${parts.join('\n')}\n`
}

const PROLOGUE = `set -eu
servers=
finish() {
  status=$?
  for server in $servers; do kill "$server" 2>/dev/null || true; done
  for server in $servers; do wait "$server" || true; done
  [ "$status" -eq 0 ] || echo "a command of the block at $block ended with $status" >&2
  exit "$status"
}
trap finish EXIT
`

function served(command: string): string {
  return `${command} >"$REKEY_DOC_LOG" 2>&1 &
servers="$servers $!"
waited=0
until grep -q '^rekey: ready on' "$REKEY_DOC_LOG"; do
  waited=$((waited + 1))
  if [ "$waited" -gt ${READY_SECONDS * 10} ] || ! kill -0 $! 2>/dev/null; then cat "$REKEY_DOC_LOG" >&2; exit 1; fi
  sleep 0.1
done`
}

/** The commands that a piece of inline code names: words up to the first option or placeholder, with `a|b` as two. Without `rekey`. */
export function commandsOf(code: string): string[] {
  const [program, ...rest] = code.split(/\s+/)
  if (program !== 'rekey') return []
  const end = rest.findIndex((word) => !/^[a-z][a-z-]*(\|[a-z-]+)*$/.test(word))
  const words = end < 0 ? rest : rest.slice(0, end)
  return words.reduce<string[]>(
    (paths, word) => paths.flatMap((path) => word.split('|').map((one) => (path === '' ? one : `${path} ${one}`))),
    words.length > 0 ? [''] : [],
  )
}

/** Whether a help text is that of `command` (which may go on with arguments, if the help says that it takes any). */
export function knownIn(help: string, command: string): boolean {
  const usage = /^Usage: rekey((?: [a-z][a-z-]*)*)(.*)$/m.exec(help)
  if (!usage) return false
  const path = (usage[1] ?? '').trim()
  const takesArguments = /[<[](?!options\]|command\])/.test(usage[2] ?? '')
  if (path === '') return false
  return command === path || (takesArguments && command.startsWith(`${path} `))
}
