import { messageOf } from '../src/kernel/index.ts'
import type { Release, Report } from './messages.ts'

/** Sends to the drill, if it still listens. */
export function report(message: Report): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

/**
 * Runs a child of the drill until it is told to stop. It ends when the drill does, so that none is ever left behind, unless the drill
 * said before that it should go on alone.
 */
export async function runChild(work: (planFile: string, signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController()
  let alone = false
  process.on('SIGTERM', () => stop.abort())
  // Ctrl-C is for the drill, which stops its children in order.
  process.on('SIGINT', () => {})
  process.on('message', (message: Release) => {
    if (message.kind !== 'release') return
    alone = true
    process.disconnect()
  })
  process.on('disconnect', () => void (alone || stop.abort()))
  try {
    await work(process.argv[2] ?? '', stop.signal)
  } catch (error) {
    report({ kind: 'failed', reason: messageOf(error) })
    process.exitCode = 1
  }
  if (process.connected) process.disconnect()
  // A connection of a library that will not close must not keep the process.
  setTimeout(() => process.exit(), 1_000).unref()
}
