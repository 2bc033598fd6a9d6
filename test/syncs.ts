/** What was made durable, and when: watches the calls, which are made as ever. */
import fs, { readlinkSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

/** Runs `act` and tells, in order, each path that was synced (`sync PATH`) and each that was linked or renamed to (`name PATH`). */
export function watchSyncs(act: () => void): string[] {
  const seen: string[] = []
  const { fsyncSync, linkSync, renameSync } = fs
  fs.fsyncSync = (fd) => {
    seen.push(`sync ${readlinkSync(`/proc/self/fd/${fd}`)}`)
    fsyncSync(fd)
  }
  fs.linkSync = (from, to) => {
    seen.push(`name ${String(to)}`)
    linkSync(from, to)
  }
  fs.renameSync = (from, to) => {
    seen.push(`name ${String(to)}`)
    renameSync(from, to)
  }
  syncBuiltinESMExports()
  try {
    act()
    return seen
  } finally {
    Object.assign(fs, { fsyncSync, linkSync, renameSync })
    syncBuiltinESMExports()
  }
}
