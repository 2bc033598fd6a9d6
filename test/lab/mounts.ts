/** File systems mounted for a test. Only an account that may mount has them: root, and not in every container. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'

/** Of the system, not of a package. */
const PROGRAMS = { on: 'mount', off: 'umount', apart: 'unshare' }

/** Whether this account may mount anything: looked at in a name space of its own, so that nothing is left behind. */
export const MAY_MOUNT = spawnSync(PROGRAMS.apart, ['-m', 'true']).status === 0
if (!MAY_MOUNT && process.env.REKEY_LAB === 'all') throw new Error('This account may not mount anything: run the tests as root')
if (!MAY_MOUNT) console.warn('SKIPPED: what needs an account that may mount')

/** Mounts with these words of mount(8). Throws if that fails. */
export const mount = (...words: readonly string[]) => void execFileSync(PROGRAMS.on, words)

/** Takes away what is mounted there, now or as soon as nobody uses it; nothing if nothing is. */
export const unmount = (at: string) => void spawnSync(PROGRAMS.off, ['-l', '-q', at])

/** Runs a program of the system in a name space of its own: what it mounts there, nobody else sees. */
export const runApart = (words: readonly string[], env: NodeJS.ProcessEnv) =>
  spawnSync(PROGRAMS.apart, ['-m', ...words], { encoding: 'utf8', env })

/** Starts one alike that goes on; its standard output is a pipe. Whoever starts it ends it. */
export const startApart = (words: readonly string[], cwd: string) =>
  spawn(PROGRAMS.apart, ['-m', ...words], { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
