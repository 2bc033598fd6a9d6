/** Which identities are of one human, from what is said of them and which addresses they have. Pure. */

/** Somebody has said that two identities are of one human, or that they are not. */
export interface Said {
  readonly one: string
  readonly other: string
  readonly same: boolean
}

/** An identity has an address. */
export interface Holding {
  readonly address: string
  readonly identity: string
  /** The directory that says so; null: a person does, by the label `email`. */
  readonly directory: string | null
  /** Since when it says so, milliseconds; of no meaning for a label. */
  readonly sinceMs: number
}

/** The humans of each identity: one, or several where it may be any of them and nobody knows which. Never none. */
export type Humans = ReadonlyMap<string, readonly string[]>

type Edges = Map<string, Set<string>>

/**
 * Two identities are one human if somebody said so, or if one directory, or labels, give both one address: over any number of steps.
 * Where two directories give one address, the one that said so later does not speak of whoever had it before: the later identity may be the
 * earlier one's human, and not the other way round. So nothing that is pushed later makes one of two who were there; and who may be
 * several is named by all of them. Whoever has an address by a label had it first. What was said not to be the same is not joined by an
 * address.
 */
export function humansFrom(ids: readonly string[], said: readonly Said[], holdings: readonly Holding[]): Humans {
  const joined: Edges = new Map(ids.map((id) => [id, new Set()]))
  const claims: Edges = new Map(ids.map((id) => [id, new Set()]))
  const apart = new Set(said.flatMap(({ one, other, same }) => (same ? [] : [`${one} ${other}`, `${other} ${one}`])))
  for (const { one, other, same } of said) if (same) join(joined, one, other)
  for (const [a, b] of pairsOf(holdings)) {
    if (a.identity === b.identity || apart.has(`${a.identity} ${b.identity}`)) continue
    if (a.directory === b.directory) join(joined, a.identity, b.identity)
    else if (isLater(a, b)) claims.get(a.identity)?.add(b.identity)
    else claims.get(b.identity)?.add(a.identity)
  }
  // Who is joined goes both ways; a claim only one way. Those who reach one another are one.
  const reach = new Map(ids.map((id) => [id, reachOf(id, [joined, claims])]))
  const classes = new Map(ids.map((id) => [id, [...(reach.get(id) ?? [])].filter((it) => reach.get(it)?.has(id)).sort()[0] ?? id]))
  // The ends: from where nothing leads on to anybody else.
  const isEnd = (id: string) => [...(reach.get(id) ?? [])].every((it) => classes.get(it) === classes.get(id))
  return new Map(ids.map((id) => [id, [...new Set([...(reach.get(id) ?? [])].filter(isEnd).map((it) => classes.get(it) ?? it))].sort()]))
}

function join(edges: Edges, one: string, other: string): void {
  edges.get(one)?.add(other)
  edges.get(other)?.add(one)
}

function* pairsOf(holdings: readonly Holding[]): Generator<[Holding, Holding]> {
  for (const group of Map.groupBy(holdings, ({ address }) => address).values()) {
    for (const [n, a] of group.entries()) for (const b of group.slice(n + 1)) yield [a, b]
  }
}

/** At the same moment the identity with the greater id is the later one: ids grow with time. */
function isLater(a: Holding, b: Holding): boolean {
  if (a.directory === null || b.directory === null) return b.directory === null
  return a.sinceMs === b.sinceMs ? a.identity > b.identity : a.sinceMs > b.sinceMs
}

function reachOf(start: string, edges: readonly Edges[]): Set<string> {
  const seen = new Set([start])
  for (const id of seen) for (const of of edges) for (const next of of.get(id) ?? []) seen.add(next)
  return seen
}
