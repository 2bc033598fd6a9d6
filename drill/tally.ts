import type { RotationView } from '../src/credential/index.ts'
import type { AttackState, ConsumerStats } from './messages.ts'

/** Steps that a rotation goes through, with the time that tells that it did. */
export const STEPS = [
  { name: 'staged', short: 'staged', of: (it: RotationView) => it.stagedAt },
  { name: 'installed', short: 'inst.', of: (it: RotationView) => it.installedAt },
  { name: 'verified', short: 'verif.', of: (it: RotationView) => it.verifiedAt },
  { name: 'activated', short: 'activ.', of: (it: RotationView) => it.activatedAt },
  { name: 'retired', short: 'retired', of: (it: RotationView) => it.retiredAt },
  { name: 'proven dead', short: 'dead', of: (it: RotationView) => (it.state === 'proven_dead' ? it.provedDeadAt : null) },
] as const

/** How far the rotations of one system are: how many have reached each of `STEPS`. */
export interface Reached {
  readonly system: string
  readonly total: number
  readonly steps: readonly number[]
  readonly blocked: number
}

/** Counts rotations by system, in the order given. */
export function reached(systems: readonly string[], rotations: readonly RotationView[]): Reached[] {
  return systems.map((system) =>
    countOf(
      system,
      rotations.filter((it) => it.system === system),
    ),
  )
}

/** Counts all rotations together. */
export function countOf(system: string, rotations: readonly RotationView[]): Reached {
  const steps = STEPS.map(({ of }) => rotations.filter((it) => of(it) !== null).length)
  return { system, total: rotations.length, steps, blocked: rotations.filter(({ state }) => state === 'blocked').length }
}

/** What all consumers lived through, in one. */
export interface ConsumerSum {
  readonly consumers: number
  readonly connected: number
  readonly requests: number
  readonly failed: number
  readonly cut: number
  readonly moved: number
  readonly longestOutageMs: number
  /** Who had the longest outage; null if nobody had one. */
  readonly worst: string | null
}

/** Adds up what the consumers reported last. */
export function sumOf(stats: readonly ConsumerStats[]): ConsumerSum {
  const add = (of: (one: ConsumerStats) => number) => stats.reduce((sum, one) => sum + of(one), 0)
  const worst = stats.toSorted((a, b) => b.longestOutageMs - a.longestOutageMs)[0]
  return {
    consumers: stats.length,
    connected: stats.filter(({ connected }) => connected).length,
    requests: add(({ requests }) => requests),
    failed: add(({ failed }) => failed),
    cut: add(({ cut }) => cut),
    moved: add(({ moved }) => moved),
    longestOutageMs: worst?.longestOutageMs ?? 0,
    worst: worst && worst.longestOutageMs > 0 ? worst.consumer : null,
  }
}

/** What happened between two sums: requests, failures and cuts of that time alone. */
export function since(before: ConsumerSum, after: ConsumerSum): Pick<ConsumerSum, 'requests' | 'failed' | 'cut' | 'moved'> {
  const { requests, failed, cut, moved } = before
  return { requests: after.requests - requests, failed: after.failed - failed, cut: after.cut - cut, moved: after.moved - moved }
}

/** What the attacker and the consumers said last. */
export class Watch {
  readonly #consumers = new Map<string, ConsumerStats>()
  #attack: AttackState | null = null
  /** Why a child gave up; empty as long as none did. */
  readonly failures: string[] = []

  consumers(stats: readonly ConsumerStats[]): void {
    for (const one of stats) this.#consumers.set(`${one.credential} ${one.consumer}`, one)
  }

  attacked(state: AttackState): void {
    this.#attack = state
  }

  stats(): readonly ConsumerStats[] {
    return [...this.#consumers.values()]
  }

  get sum(): ConsumerSum {
    return sumOf(this.stats())
  }

  get attack(): AttackState | null {
    return this.#attack
  }
}

/** In-place gaps in milliseconds, as Rekey measured them: longest and median; null if there were none. */
export function gapsOf(
  rotations: readonly RotationView[],
): { readonly count: number; readonly longestMs: number; readonly medianMs: number } | null {
  const gaps = rotations.flatMap(({ gapMs }) => (gapMs === null || gapMs === 0 ? [] : [gapMs])).sort((a, b) => a - b)
  const longestMs = gaps.at(-1)
  if (longestMs === undefined) return null
  return { count: gaps.length, longestMs, medianMs: gaps[Math.floor(gaps.length / 2)] ?? longestMs }
}

/** From the order to the last proof of death, seconds. */
export function secondsOf(rotations: readonly RotationView[]): number {
  const at = (text: string | null) => (text === null ? [] : [Date.parse(text)])
  const begun = Math.min(...rotations.flatMap(({ createdAt }) => at(createdAt)))
  const ended = Math.max(...rotations.flatMap(({ endedAt }) => at(endedAt)))
  return Number.isFinite(ended - begun) ? (ended - begun) / 1000 : 0
}
