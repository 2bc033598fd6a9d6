import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { makeCtx, RekeyError, sleep } from '../kernel/index.ts'
import { CANARY, children, DEATHS } from '../kernel/testing.ts'
import { readAndAsk, readPoliciesApart } from './read.apart.ts'
import type { PolicyFile } from './set.model.ts'
import { readPolicies } from './set.ts'

const ctx = makeCtx('test', 'test')
const files = (words: string): PolicyFile[] => [
  { name: 'own.cedar', text: `// ${words}\npermit (principal in Role::"b", action == Action::"status:read", resource);` },
]
const refused = (what: string) => ({ code: 'bad_input', message: expect.stringContaining(what) })
const DIED = { code: 'internal', message: 'The reader of policies died.' }
const ERRORS = {
  time: refused('takes more than'),
  memory: refused('more memory'),
  died: DIED,
  killed: { ...DIED, hint: expect.anything() },
}

test.each(DEATHS)(
  'a reader that %s gives a coded error without any text of the policies, is gone then, and the next set is read',
  async (what, limits, error) => {
    const before = children()
    const set = files(`${CANARY} ${what}`)
    const thrown: unknown = await readAndAsk(ctx, set, [], 'proposed', limits).catch((reason: unknown) => reason)
    expect(thrown).toBeInstanceOf(RekeyError)
    expect(thrown).toMatchObject(ERRORS[error])
    expect(inspect(thrown, { depth: 9 }) + JSON.stringify(thrown)).not.toContain(CANARY)
    expect(children()).toEqual(before)
    // Nothing is remembered of a death: the same texts are read again, and give what they say.
    expect((await readPoliciesApart(ctx, set, 'proposed')).policies).toEqual(readPolicies(set).policies)
  },
)

test('whoever goes away ends the reading; few wait, more are refused, and a proposal never keeps the set in force waiting', async () => {
  const leaving = new AbortController()
  const mine = makeCtx('test', 'test', { signal: leaving.signal })
  const ends: string[] = []
  const noted = (work: Promise<unknown>) =>
    work.then(
      () => ends.push('read'),
      (error: unknown) => ends.push(error instanceof RekeyError ? error.message : String(error)),
    )
  const [, endless] = DEATHS.find(([what]) => what === 'waits for ever') ?? []
  const slow = Array.from({ length: 9 }, (_, at) =>
    noted(readAndAsk(mine, files(`slow ${at}`), [], 'proposed', { ...endless, ms: 60_000 })),
  )
  await expect(readAndAsk(ctx, files('one more'), [], 'proposed')).rejects.toMatchObject({ code: 'unavailable' })
  expect((await readPoliciesApart(ctx, files('in force'), 'in force')).policies).toHaveLength(1)
  await sleep(300)
  expect(ends).toEqual([])
  leaving.abort()
  await Promise.all(slow)
  expect(new Set(ends)).toEqual(new Set(['Nobody waits for the policies any more.']))
  expect((await readPoliciesApart(ctx, files('one more'), 'proposed')).policies).toHaveLength(1)
})
