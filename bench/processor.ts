import { readdirSync, readFileSync } from 'node:fs'

/** Clock ticks of /proc: 100 a second on every Linux that Node runs on. */
const TICK_MS = 10

/** Processor time so far, milliseconds. */
export interface ProcessorTime {
  /** This process with all its threads. */
  readonly node: number
  /** Each watched server, by its name. */
  readonly servers: Readonly<Record<string, number>>
}

function statOf(pid: number): readonly string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/** The process that made this one. */
export function parentOf(pid: number): number {
  return Number(statOf(pid)[1])
}

/** A server's own time, that of children it has buried, and that of children still alive. */
function serverMs(postmaster: number): number {
  const sum = (fields: readonly string[], from: number, count: number) =>
    fields.slice(from, from + count).reduce((total, field) => total + Number(field), 0)
  const own = sum(statOf(postmaster), 11, 4)
  const living = childrenOf(postmaster).map((pid) => {
    try {
      return sum(statOf(pid), 11, 2)
    } catch {
      // It ended while we looked: the postmaster's next sum has it.
      return 0
    }
  })
  return living.reduce((total, ticks) => total + ticks, own) * TICK_MS
}

/** The living processes that a process made. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      return /^\d+$/.test(name) && parentOf(Number(name)) === parent ? [Number(name)] : []
    } catch {
      return []
    }
  })
}

/** Reads the processor time of this process and of the servers, by postmaster. */
export function processorTime(postmasters: Readonly<Record<string, number>>): ProcessorTime {
  const { user, system } = process.cpuUsage()
  const servers = Object.fromEntries(Object.entries(postmasters).map(([name, pid]) => [name, serverMs(pid)]))
  return { node: (user + system) / 1000, servers }
}

/** Adds what was spent between two readings to `total`, part by part. */
export function addSpent(total: Record<string, number>, before: ProcessorTime, after: ProcessorTime): void {
  const add = (name: string, ms: number) => {
    total[name] = (total[name] ?? 0) + ms
  }
  add('Node', after.node - before.node)
  for (const [name, ms] of Object.entries(after.servers)) add(name, ms - (before.servers[name] ?? 0))
}

/** The connections that a PostgreSQL serves: its own workers come and go, and do nothing that a request waits for. */
export function connectionsOf(postmaster: number): number[] {
  return childrenOf(postmaster).filter((pid) => {
    try {
      return /^postgres: .* idle/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
    } catch {
      return false
    }
  })
}

/**
 * What processes were on a processor so far with all their threads, milliseconds, to the nanosecond: of one request at a time it is what
 * the request would take on a machine that does nothing else and reads nothing from disk. NaN if one of them has ended.
 */
export function onProcessorMs(pids: readonly number[]): number {
  return pids.reduce((total, pid) => total + threadsNs(pid), 0) / 1e6
}

/** NaN for one that has ended. */
function threadsNs(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((total, thread) => {
      return total + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ', 1)[0])
    }, 0)
  } catch {
    return Number.NaN
  }
}
