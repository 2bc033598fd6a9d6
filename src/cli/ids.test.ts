import { expect, test } from 'vitest'
import { newId, RekeyError } from '../kernel/index.ts'
import { rotationPath } from './ids.ts'

test('an id leads to its rotation', () => {
  const id = newId()
  expect(rotationPath(id)).toBe(`/v1/rotations/${id}`)
  expect(rotationPath(id.toUpperCase(), 'undo')).toBe(`/v1/rotations/${id.toUpperCase()}/undo`)
})

test.each(['zzz', '', 'orders-api@orders-db', '../credentials', 'x'.repeat(1_000), '\u001b[2J', `${newId()}/undo`])(
  '%j is told back with what an id looks like and where ids are found',
  (given) => {
    let error: unknown
    try {
      rotationPath(given)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(RekeyError)
    const { code, message, hint = '' } = error as RekeyError
    expect(code).toBe('bad_input')
    expect(message).toMatch(/^".*" is not the id of a rotation, such as [0-9a-f-]{36}\.$/)
    expect(message.length).toBeLessThan(200)
    expect(message).not.toContain('\u001b')
    if (given === 'zzz') expect(message).toContain('"zzz"')
    expect(hint).toContain('rekey rotation list')
  },
)
