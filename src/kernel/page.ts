import { isId } from './ids.ts'

/** Rows that one request looks at for a page of what the asker may see. So many of others took 0.8 to 1.1 s on a busy machine. */
export const LOOKED_AT_MAX = 20_000
/** Rows that are read at once after the first go, which is one more than the page. */
const STEP = 2_000

/** Where a list is read from, by what, and what of it the asker may see. */
export interface Seen<R> {
  /** Rows in the order of the list, after the cursor; fewer than `count` only at the end. */
  read(after: string | null, count: number): Promise<readonly R[]>
  cursorOf(row: R): string
  /** Rows that `read` gives at once at most, if it gives no more whatever it is asked. */
  readonly most?: number
  /** Those that may be seen, in the order given. */
  mine(rows: readonly R[]): readonly R[] | Promise<readonly R[]>
}

/**
 * A page of what the asker may see: it is full, or the list is at its end, so `next` tells of nothing else. It is null unless there is
 * more to be seen, with one exception: a request looks at `LOOKED_AT_MAX` rows at most. Where these are through, the page may be short and
 * `next` is that of the last one looked at: then there are at least as many that may not be seen, and no more is told.
 */
export async function pageOfSeen<R>(
  page: { readonly after: string | null; readonly limit: number },
  { read, cursorOf, mine, most = STEP }: Seen<R>,
): Promise<{ readonly items: R[]; readonly next: string | null }> {
  const items: R[] = []
  let after = page.after
  for (let looked = 0; ; ) {
    const count = Math.min(looked === 0 ? page.limit + 1 : STEP, most)
    const found = await read(after, count)
    looked += found.length
    for (const row of await mine(found)) items.push(row)
    const [shown, last] = [items.slice(0, page.limit), found.at(-1)]
    const end = shown.at(-1)
    if (items.length > page.limit && end !== undefined) return { items: shown, next: cursorOf(end) }
    if (found.length < count || last === undefined) return { items, next: null }
    after = cursorOf(last)
    if (looked >= LOOKED_AT_MAX) return { items, next: after }
  }
}

/** The same for a list in the order of its ids: what is no id was no cursor of it, and the list begins anew. */
export function pageOfSeenById<R extends { readonly id: string }>(
  { after, limit }: { readonly after?: string | null | undefined; readonly limit: number },
  seen: Pick<Seen<R>, 'read' | 'mine'>,
): Promise<{ readonly items: R[]; readonly next: string | null }> {
  return pageOfSeen({ after: after != null && isId(after) ? after : null, limit }, { ...seen, cursorOf: ({ id }) => id })
}
