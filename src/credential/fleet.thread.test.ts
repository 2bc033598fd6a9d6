import { readdirSync } from 'node:fs'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LIMITS, makeCtx, RekeyError, sleep } from '../kernel/index.ts'
import { GOOD, OPTIONS } from './fleet.kit.ts'
import { parseWithLines } from './fleet.parse.ts'
import { parseFleetApart, type ThreadLimits } from './fleet.thread.ts'

const ctx = makeCtx('test', 'test')
const PADDING = `# ${'x'.repeat(98)}\n`.repeat(200)
/** Nothing but items: of 4 MiB the parser makes a million nodes. */
const WORST = '- a\n'.repeat(LIMITS.fleetBytes / 4)
const ENOUGH = { ms: 50_000, mb: 1_024 }

/** What became of it, in a form that can be compared. */
async function outcome(parse: () => unknown): Promise<unknown> {
  try {
    return { read: await parse() }
  } catch (error) {
    if (!(error instanceof RekeyError)) throw error
    return { code: error.code, message: error.message, faults: error.faults }
  }
}

test('a thread reads and refuses what is read and refused in place, connectors and account names included', async () => {
  const words = ['postgres', 'redis', 'mongo', 'orders_api', 'reserved', `a${'b'.repeat(80)}`, 'strategy', '30d', 'app\\u0000', '{', '']
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.constantFrom(...words), async (at, word) => {
      const found = [...GOOD.matchAll(/[\w-]+/g)]
      const hit = found[at % found.length]
      const text = `${GOOD.slice(0, hit?.index)}${word}${GOOD.slice((hit?.index ?? 0) + (hit?.[0].length ?? 0))}${PADDING}`
      expect(await outcome(() => parseFleetApart(ctx, text, OPTIONS))).toEqual(await outcome(() => parseWithLines(text, OPTIONS)))
    }),
    { numRuns: 12 },
  )
  expect(await outcome(() => parseFleetApart(ctx, GOOD + PADDING, OPTIONS))).toEqual({ read: parseWithLines(GOOD, OPTIONS) })
})

test('twenty thousand questions are answered, each with its own answer', async () => {
  const credentials = Array.from(
    { length: 20_000 },
    (_, n) => `  - { name: c${n}, identity: orders-api, system: orders-db, account: a${n}, strategy: in-place }\n`,
  )
  const even = {
    ...OPTIONS,
    checkAccount: (_connector: string, name: string) => {
      if (/^a\d*7$/.test(name)) throw new RekeyError('bad_input', `${name} is refused.`)
    },
  }
  const refused = await outcome(() => parseFleetApart(ctx, GOOD + credentials.join(''), even))
  expect(refused).toEqual(await outcome(() => parseWithLines(GOOD + credentials.join(''), even)))
  expect(refused).toMatchObject({ code: 'fleet_invalid', message: expect.stringContaining('2000 faults') })
})

test('a connector that fails in another way than refusing a name fails the parse', async () => {
  const broken = {
    ...OPTIONS,
    checkAccount: () => {
      throw new RekeyError('internal', 'broken')
    },
  }
  await expect(parseFleetApart(ctx, GOOD + PADDING, broken)).rejects.toMatchObject({ code: 'internal', message: 'broken' })
})

/** A thread that does this instead of parsing. */
const program = (source: string) => new URL(`data:text/javascript,${encodeURIComponent(source)}`)
const threads = () => readdirSync('/proc/self/task').length
const DEATHS: readonly (readonly [string, Partial<ThreadLimits>, { readonly code: string; readonly message: unknown }])[] = [
  ['takes too long', { ms: 300 }, { code: 'too_large', message: expect.stringContaining('time') }],
  // Far above what loading the parser takes: where V8's own code meets the limit, it ends the whole process.
  ['needs too much memory', { mb: 256 }, { code: 'too_large', message: expect.stringContaining('memory') }],
  ['never ends', { ms: 800, program: program('for (;;);') }, { code: 'too_large', message: expect.stringContaining('time') }],
  [
    'waits for ever',
    { ms: 800, program: program('setInterval(() => {}, 1000)') },
    { code: 'too_large', message: expect.stringContaining('time') },
  ],
  ['exits', { program: program('process.exit(0)') }, { code: 'internal', message: expect.stringContaining('died') }],
  [
    'throws an error that quotes the file',
    { program: program("import { workerData } from 'node:worker_threads'; throw new Error(workerData.text)") },
    { code: 'internal', message: expect.stringContaining('died') },
  ],
  ['throws what is no error', { program: program("throw 'canary-8812'") }, { code: 'internal', message: expect.stringContaining('died') }],
  [
    'cannot be loaded',
    { program: new URL('./nothing.ts', import.meta.url) },
    { code: 'internal', message: expect.stringContaining('died') },
  ],
  [
    'recurses too deeply',
    { program: program('const f = () => f() + 1; f()') },
    { code: 'internal', message: expect.stringContaining('died') },
  ],
]

test.each(DEATHS)(
  'a thread that %s gives a coded error without any text of the file, is gone then, and the next file is read',
  async (_what, limits, error) => {
    // The first thread of a process brings helpers that stay.
    await parseFleetApart(ctx, GOOD + PADDING, OPTIONS)
    const before = threads()
    const thrown: unknown = await parseFleetApart(ctx, `# canary-8812\n${WORST.slice(400)}    at canary-8812 (x:1:1)\n`, OPTIONS, {
      ...ENOUGH,
      ...limits,
    }).catch((reason: unknown) => reason)
    expect(thrown).toBeInstanceOf(RekeyError)
    expect(thrown).toMatchObject(error)
    expect(inspect(thrown, { depth: 9 }) + JSON.stringify(thrown)).not.toContain('canary-8812')
    expect(threads()).toBeLessThanOrEqual(before)
    expect(await parseFleetApart(ctx, GOOD + PADDING, OPTIONS)).toEqual(parseWithLines(GOOD, OPTIONS))
  },
)

test('whoever goes away ends the parse; one runs at a time, a few wait, more are refused', async () => {
  const leaving = new AbortController()
  const mine = makeCtx('test', 'test', { signal: leaving.signal })
  const codes: string[] = []
  const refused = (parse: Promise<unknown>) =>
    parse.then(
      () => codes.push('read'),
      (error: unknown) => codes.push(error instanceof RekeyError ? error.message : String(error)),
    )
  const running = refused(parseFleetApart(mine, WORST, OPTIONS, ENOUGH))
  const waiting = Array.from({ length: 7 }, () => refused(parseFleetApart(mine, WORST, OPTIONS, ENOUGH)))
  const patient = parseFleetApart(ctx, GOOD + PADDING, OPTIONS)
  await expect(parseFleetApart(ctx, GOOD + PADDING, OPTIONS)).rejects.toMatchObject({ code: 'unavailable' })
  // A small file waits for nobody.
  expect(await parseFleetApart(ctx, GOOD, OPTIONS)).toEqual(parseWithLines(GOOD, OPTIONS))
  await sleep(300)
  expect(codes).toEqual([])
  leaving.abort()
  await Promise.all([running, ...waiting])
  expect(new Set(codes)).toEqual(new Set(['Nobody waits for the fleet file any more.']))
  expect(await patient).toEqual(parseWithLines(GOOD, OPTIONS))
  await expect(parseFleetApart(mine, GOOD + PADDING, OPTIONS)).rejects.toMatchObject({ code: 'unavailable' })
})
