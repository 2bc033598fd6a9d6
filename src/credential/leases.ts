import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Store } from '../store/index.ts'
import { freeLeases, leaseHolders } from './rotation.store.ts'

/**
 * A claim normally ends by time, a minute after its process fell silent. A process of this very machine that is gone from /proc is
 * known to be dead, so its claims are free at once: a restart goes on without waiting.
 */
export function thisProcess(): string {
  return nameOf(process.pid) ?? `${place()}/${process.pid}/unknown`
}

let known: string | undefined

/** Same host, same boot, same pid namespace: only then does a pid say anything. None of them changes while a process lives. */
function place(): string {
  known ??= readPlace()
  return known
}

function readPlace(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${hostname()}/${boot}/${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return `${hostname()}/unknown/unknown`
  }
}

/** Pid and start time (field 22 of /proc/pid/stat, in clock ticks): a pid given to another program later has another start. */
function nameOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie holds its pid but does nothing any more.
    return fields[0] === 'Z' ? null : `${place()}/${pid}/${fields[19]}`
  } catch {
    return null
  }
}

/** Those of the holders that are dead processes of this machine. After `#` a holder's name says which of its workers. */
export function deadHolders(holders: readonly string[]): string[] {
  const here = place()
  return holders.filter((holder) => {
    if (!holder.startsWith(`${here}/`) || holder.includes('unknown')) return false
    const [name = ''] = holder.split('#')
    return nameOf(Number(name.split('/').at(-2))) !== name
  })
}

/** Frees what dead processes of this machine still hold. */
export async function freeDead(store: Store): Promise<void> {
  const dead = deadHolders(await leaseHolders(store))
  if (dead.length > 0) await freeLeases(store, dead)
}
