import { type Ctx, RekeyError } from '../kernel/index.ts'
import type { Allowed, PolicyFile, Principal } from '../policy/index.ts'
import { digestHex } from '../seal/index.ts'
import type { Tx } from '../store/index.ts'
import { standBehind, standsBehind } from './behind.ts'
import { shareHuman } from './person.ts'

/** One set of policies on record. */
export interface PolicySetView {
  readonly id: string
  /** `default`: what the program brings. `own`: proposed here. */
  readonly origin: 'default' | 'own'
  readonly state: 'proposed' | 'active' | 'replaced'
  readonly digest: string
  /** Digest of the set that was active when this one was proposed. */
  readonly baseDigest: string | null
  readonly words: string
  readonly proposedBy: string
  readonly proposedAt: string
  readonly activatedBy: string | null
  readonly activatedAt: string | null
  readonly bypassReason: string | null
}

/**
 * One file that differs between two sets; lines begin with `+`, `-` or a blank. Letters that do not show, or look like a blank, are written
 * as Cedar writes them in strings, `\u{…}`: who approves sees them.
 */
export interface FileChange {
  readonly file: string
  readonly change: 'added' | 'removed' | 'changed'
  readonly lines: readonly string[]
}

/** What an approval is asked for. */
export interface Ask {
  readonly action: 'policy:approve'
  /** Id of the set. */
  readonly subject: string
  /** Of exactly what would come into force. */
  readonly digest: string
  /** What it is, for people. */
  readonly words: string
  /** Who stood behind the proposal when it was made; who does so by now counts as well. */
  readonly proposers: readonly string[]
  /** Who asks for it to come into force now. */
  readonly by: Principal
}

/** Who may say yes. Where an engine of approvals is at hand, it takes the place of `secondPerson`. */
export interface ApprovalGate {
  /** Resolves if it is approved, with who approved; throws `forbidden` if not. In the transaction that acts on it. */
  require(tx: Tx, ctx: Ctx, ask: Ask): Promise<{ readonly approvedBy: readonly string[] }>
}

/**
 * Throws `forbidden` for a token without an identity that nobody on record has made: nobody could be kept from approving what they asked
 * for through it. The first token may ask: SECURITY.md says what that means.
 */
export function requireSomebody({ identity, makers }: Principal): void {
  if (makers !== null || identity !== null) return
  throw new RekeyError('forbidden', 'Nobody is on record who stands behind this token, so nobody could be kept from approving it.', {
    hint: 'Ask logged in, or rotate the token logged in: it is yours then.',
  })
}

/**
 * One person who does not stand behind the proposal, nor behind a program that does. A program does not count, whoever made it: its maker
 * could have made it for this.
 * That the person may approve at all, `Allowed<'policy:approve'>` has shown.
 */
export const secondPerson: ApprovalGate = {
  async require(tx, _ctx, { by, proposers }) {
    if (by.kind !== 'person' || by.identity === null || by.actsFor !== null) {
      throw new RekeyError('forbidden', 'A change of policy is approved by a person.')
    }
    if (await shareHuman(tx, standsBehind(by), await standBehind(tx, proposers))) {
      throw new RekeyError('forbidden', 'Who proposed it does not approve it.', { hint: 'Ask somebody else who may do policy:approve.' })
    }
    return { approvedBy: [by.identity] }
  },
}

/** Who may bring a set into force, and how. */
export type Warrant =
  | { readonly may: Allowed<'policy:approve'>; readonly gate: ApprovalGate; readonly because: string }
  | { readonly may: Allowed<'policy:bypass'>; readonly reason: string }

/** Stands for exactly these texts under these names. */
export function digestOf(files: readonly PolicyFile[]): string {
  return digestHex(JSON.stringify(files.map(({ name, text }) => [name, text])))
}

/** What differs, by file: all lines of a file that is new or gone, of a changed one those between what is the same. */
export function changesBetween(before: readonly PolicyFile[], after: readonly PolicyFile[]): FileChange[] {
  const old = new Map(before.map(({ name, text }) => [name, text]))
  const now = new Map(after.map(({ name, text }) => [name, text]))
  return [...new Set([...old.keys(), ...now.keys()])].sort().flatMap((file): FileChange[] => {
    const [was, is] = [old.get(file), now.get(file)]
    if (was === is) return []
    const told = (change: FileChange['change'], lines: readonly string[]) => [{ file, change, lines: lines.map(visible) }]
    if (is === undefined)
      return told(
        'removed',
        linesOf(was).map((line) => `-${line}`),
      )
    if (was === undefined)
      return told(
        'added',
        linesOf(is).map((line) => `+${line}`),
      )
    return told('changed', lineDiff(linesOf(was), linesOf(is)))
  })
}

/** Beside the blank and the tab, what looks like nothing or like a blank. */
const HIDDEN = /[^\t\P{Cc}]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu
const visible = (line: string) => line.replace(HIDDEN, (letter) => `\\u{${letter.codePointAt(0)?.toString(16)}}`)

/** How many lines have a letter that is written by its number, here or in the policy itself. */
export const linesWithNumbers = (lines: readonly string[]): number => lines.filter((line) => line.includes('\\u{')).length

function linesOf(text = ''): string[] {
  return text.replace(/\n$/, '').split('\n')
}

const AROUND = 2

/** Not the shortest difference, but a true one: what stands between the first and the last line that differ, and two lines around it. */
function lineDiff(before: readonly string[], after: readonly string[]): string[] {
  let head = 0
  while (head < Math.min(before.length, after.length) && before[head] === after[head]) head++
  let tail = 0
  while (tail < Math.min(before.length, after.length) - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++
  return [
    ...before.slice(Math.max(0, head - AROUND), head).map((line) => ` ${line}`),
    ...before.slice(head, before.length - tail).map((line) => `-${line}`),
    ...after.slice(head, after.length - tail).map((line) => `+${line}`),
    ...after.slice(after.length - tail, after.length - tail + AROUND).map((line) => ` ${line}`),
  ]
}
