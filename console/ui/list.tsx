import type { ReactNode } from 'react'
import { Fault, Progress } from './told.tsx'

/** What a list of pages needs to be shown; `useInfiniteQuery` gives it. */
export interface Paged<T> {
  readonly data?: { readonly pages: readonly { readonly items: readonly T[] }[] } | undefined
  readonly error: unknown
  readonly isPending: boolean
  readonly hasNextPage: boolean
  readonly isFetchingNextPage: boolean
  readonly fetchNextPage: () => unknown
}

/** A list that is read page by page, as somebody asks for more. */
export function List<T>(props: {
  readonly of: Paged<T>
  /** Said where there is nothing. */
  readonly empty: string
  readonly children: (items: readonly T[]) => ReactNode
}) {
  const { of, empty, children } = props
  const items = of.data?.pages.flatMap((page) => page.items) ?? []
  if (of.isPending) return <Progress>Loading…</Progress>
  return (
    <>
      <Fault error={of.error} />
      {items.length > 0 ? children(items) : of.error === null && !of.hasNextPage ? <p className="muted">{empty}</p> : null}
      {of.hasNextPage ? (
        <button type="button" disabled={of.isFetchingNextPage} onClick={() => of.fetchNextPage()}>
          {of.isFetchingNextPage ? 'Loading…' : 'Show more'}
        </button>
      ) : null}
    </>
  )
}
