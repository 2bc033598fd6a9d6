import type { ReactNode } from 'react'
import { localTime, relativeTime, utcTime } from '../util/time.ts'
import { toneOf, wordsOf } from '../util/words.ts'
import { useNow } from './now.ts'

/** Invisible characters, written out: a name must not hide or turn what stands beside it. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** Text that came from outside: isolated from the direction of what stands around it, with everything invisible in it shown. */
export function Name({ children }: { readonly children: string }) {
  return <bdi className="name">{shown(children)}</bdi>
}

function shown(text: string): string {
  return text.replace(INVISIBLE, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`)
}

/** Lines of text that came from outside. */
export function Lines({ children }: { readonly children: string }) {
  return <bdi className="lines">{children.split('\n').map(shown).join('\n')}</bdi>
}

/** Data as it is, for who wants to know exactly. */
export function Data({ of }: { readonly of: unknown }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard.
    <pre tabIndex={0}>
      <Lines>{JSON.stringify(of, null, 2)}</Lines>
    </pre>
  )
}

/** A moment in the reader's zone; in UTC on hover. */
export function When({ at }: { readonly at: string }) {
  return (
    <time dateTime={at} title={utcTime(at)}>
      {localTime(at)}
    </time>
  )
}

/** How long ago or ahead; exactly, and in UTC, on hover. */
export function Age({ at }: { readonly at: string }) {
  // The ticks say when to look again; what happened since the last one is past all the same.
  const nowMs = Math.max(useNow(), Date.now())
  return (
    <time dateTime={at} title={`${localTime(at)} · ${utcTime(at)}`}>
      {relativeTime(at, nowMs)}
    </time>
  )
}

/** A state, in words; its colour says nothing that the word does not. */
export function Badge({ state, children }: { readonly state: string; readonly children?: ReactNode }) {
  return <span className={`badge ${toneOf(state)}`}>{children ?? wordsOf(state)}</span>
}

/** What is not there. */
export function None({ children = 'none' }: { readonly children?: string }) {
  return <span className="muted">{children}</span>
}
