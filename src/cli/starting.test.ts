import { expect, test } from 'vitest'
import { sleep } from '../kernel/index.ts'
import { tellStart } from './starting.ts'

test('what is known to be slow is told at once, other steps where they take long, and nothing after the end', async () => {
  const said: string[] = []
  const { step, end } = tellStart(
    (line) => said.push(line),
    () => undefined,
    50,
    1_000_000,
  )
  step('making the database', true)
  expect(said).toEqual(['rekey: making the database (some seconds)'])
  step('quick')
  step('waiting')
  await expect.poll(() => said.at(-1)).toBe('rekey: still waiting')
  step('last')
  end()
  await sleep(200)
  expect(said).toEqual(['rekey: making the database (some seconds)', 'rekey: still waiting'])
})

test('a step that does not end is told again and again', async () => {
  const said: string[] = []
  const { step, end } = tellStart(
    (line) => said.push(line),
    () => undefined,
    10,
    20,
  )
  step('waiting')
  await expect.poll(() => said.length).toBeGreaterThan(2)
  end()
  expect(new Set(said)).toEqual(new Set(['rekey: still waiting']))
})
