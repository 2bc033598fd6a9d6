/** A server that never stops talking gets its connection closed, before it has taken the memory of all other rotations. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { FLOODS, startFlood } from '../../test/lab/flood.ts'

const run = promisify(execFile)
const CHILD = new URL('../../test/lab/flood.child.ts', import.meta.url).pathname
/** What one call may take at most. Without a bound it was 3 GB in ten seconds. */
const MOST_MIB = 300

test.each(Object.entries(FLOODS))('%s', { timeout: 60_000 }, async (_what, flood) => {
  const server = await startFlood(flood)
  try {
    const { stdout, stderr } = await run(process.execPath, [
      '--max-old-space-size=1024',
      CHILD,
      flood.connector,
      flood.call,
      String(server.port),
    ])
    const { told, grownMib } = JSON.parse(stdout) as { told: string; grownMib: number }
    expect(told).toBe(flood.told ?? `${flood.call === 'probe' ? 'unreachable' : 'target_conflict'} ANSWER_TOO_LONG`)
    expect(stderr).toBe('')
    expect(grownMib).toBeLessThan(MOST_MIB)
  } finally {
    await server.stop()
  }
})
