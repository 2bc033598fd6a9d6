import type { KnownServer, ServerIdentity } from '../connectors/contract.ts'

/** Which server a system is, as its row keeps it. */
export interface StoredServer {
  readonly facts: ServerIdentity['facts']
  /** Names one run of it, where the facts are those of many servers. */
  readonly run: string | null
}

/** A system's server as it is listed; null: it was not met yet. */
export type ServerView = StoredServer['facts'] | null

/** True if both name the same facts with the same values, and there are any. */
export function sameFacts(a: StoredServer['facts'], b: StoredServer['facts']): boolean {
  const names = Object.keys(a)
  return names.length > 0 && names.length === Object.keys(b).length && names.every((name) => a[name] === b[name])
}

/** True if both are surely one server. Where facts alone do not tell, it is the same run that does. */
export function isOneServer(a: StoredServer | null, b: StoredServer | null): boolean {
  if (a === null || b === null || !sameFacts(a.facts, b.facts)) return false
  return a.run === b.run
}

/** True if another look at `other` could show that it is one server with `mine`. */
export function isUnsure(mine: StoredServer | null, other: StoredServer | null): boolean {
  if (mine === null || other === null) return true
  return mine.run !== null && other.run !== mine.run && sameFacts(mine.facts, other.facts)
}

/** What a server said of itself, to be kept. */
export function storedOf({ facts, run }: ServerIdentity): StoredServer {
  return { facts, run: run?.id ?? null }
}

/** What is on record, as connectors take it; `secondsAgo`: since that run was first seen. */
export function knownOf(server: StoredServer | null, secondsAgo: number | null): KnownServer | null {
  return server && { facts: server.facts, run: server.run === null ? null : { id: server.run, secondsAgo: secondsAgo ?? 0 } }
}

/** One text for one server, where facts (and the run, if there is one) tell it; null where they do not. */
export function serverKey(server: StoredServer | null): string | null {
  if (server === null || Object.keys(server.facts).length === 0) return null
  return JSON.stringify([factsKey(server.facts), server.run])
}

/** The facts in one order. */
export function factsKey(facts: StoredServer['facts']): string {
  return JSON.stringify(Object.entries(facts).sort(([a], [b]) => (a < b ? -1 : 1)))
}
