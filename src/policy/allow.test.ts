import { expect, test } from 'vitest'
import { isCode, makeCtx } from '../kernel/index.ts'
import { ACTIONS, allow, type Principal } from './index.ts'

const ctx = makeCtx('test', 'test')

test('an administrator may do every action of the closed list', () => {
  for (const action of ACTIONS) expect(allow(ctx, { id: 'a', role: 'admin' }, action).action).toBe(action)
})

test('a role or an action that nobody wrote down may do nothing', () => {
  const stranger = { id: 's', role: 'stranger' } as unknown as Principal
  for (const action of ACTIONS) expect(() => allow(ctx, stranger, action)).toThrow()
  for (const role of ['__proto__', 'constructor', 'toString']) {
    expect(() => allow(ctx, { id: 'x', role } as unknown as Principal, 'rotation:start')).toThrow()
  }
  try {
    allow(ctx, { id: 'a', role: 'admin' }, 'everything:everything' as never)
    expect.unreachable()
  } catch (error) {
    expect(isCode(error, 'forbidden')).toBe(true)
  }
})
