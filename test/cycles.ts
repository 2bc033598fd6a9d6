/** Cycles of a graph, each as its path (`a, b, a`), found once however many ways lead into it. Nodes that have no entry are leaves. */
export function cyclesIn(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const done = new Set<string>()
  const path: string[] = []
  const cycles: string[][] = []
  const walk = (node: string) => {
    const at = path.indexOf(node)
    if (at >= 0) return void cycles.push([...path.slice(at), node])
    if (done.has(node)) return
    path.push(node)
    for (const next of edges.get(node) ?? []) walk(next)
    path.pop()
    done.add(node)
  }
  for (const node of edges.keys()) walk(node)
  return cycles
}
