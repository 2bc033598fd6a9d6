import { infiniteQueryOptions } from '@tanstack/react-query'
import { type Answer, call, type Input, type Name } from './client.ts'

/** Operations that answer one page of a list. */
export type ListName = { [N in Name]: Answer<N> extends { items: readonly unknown[]; next: string | null } ? N : never }[Name]

/** A list, page by page, for `useInfiniteQuery`. */
export function listOf<N extends ListName>(name: N, input: Pick<Input<N>, 'params' | 'query'> = {}) {
  return infiniteQueryOptions({
    queryKey: [name, input] as const,
    queryFn: ({ pageParam }: { readonly pageParam: string | null }) => {
      const query = { ...input.query, ...(pageParam === null ? {} : { after: pageParam }) }
      return call(name, { ...input, query } as Input<N>)
    },
    initialPageParam: null as string | null,
    getNextPageParam: (last: Answer<N>) => (last as { readonly next: string | null }).next,
  })
}
