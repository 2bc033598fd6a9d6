import { expect, test } from 'vitest'
import { RekeyError, silentLog } from '../kernel/index.ts'
import { logFailure } from './errors.ts'

const CANARY = 'canary-5528'

function logged(error: unknown): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = []
  logFailure({ ...silentLog, error: (fields) => void lines.push(fields) }, 'id', error)
  return lines
}

test('of a foreign error the log gets its class and where it was thrown, and no line of its message', () => {
  class Refused extends Error {
    override readonly name = CANARY
  }
  const [line = {}] = logged(new Refused(`${CANARY}\n    at ${CANARY} (file:///app/x.js:1:1)\n    at ${CANARY}`))
  expect(line).toMatchObject({ requestId: 'id', code: 'internal', name: 'Refused' })
  expect((line.frames as string[])[0]).toMatch(/errors\.test\.ts:\d+:\d+$/)
  expect(JSON.stringify(line)).not.toContain(CANARY)
  expect(logged(CANARY)).toEqual([{ requestId: 'id', code: 'internal', name: 'not an error', frames: [] }])
})

test('of our own the log gets message and detail; a fault of the request is not logged', () => {
  expect(logged(new RekeyError('internal', 'said', { detail: 'why' }))).toEqual([
    { requestId: 'id', code: 'internal', message: 'said', detail: 'why' },
  ])
  expect(logged(new RekeyError('not_found', 'said'))).toEqual([])
})
