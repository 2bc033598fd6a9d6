import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LIMITS, makeCtx, newId, RekeyError, sleep } from '../kernel/index.ts'
import { CANARY, children, DEATHS, folder, program } from '../kernel/testing.ts'
import { parseFleetApart } from './fleet.apart.ts'
import { GOOD, OPTIONS } from './fleet.kit.ts'
import { parseWithLines } from './fleet.parse.ts'

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

test('a child reads and refuses what is read and refused in place, connectors and account names included', async () => {
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

const DIED = { code: 'internal', message: expect.stringContaining('died') }
const ERRORS = {
  time: { code: 'too_large', message: expect.stringContaining('time') },
  memory: { code: 'too_large', message: expect.stringContaining('memory') },
  died: DIED,
  killed: { ...DIED, hint: expect.stringContaining('memory') },
}

test.each([['takes too long', { ms: 300 }, 'time'] as const, ['needs too much memory', { mb: 256 }, 'memory'] as const, ...DEATHS])(
  'a child that %s gives a coded error without any text of the file, is gone then, and the next file is read',
  async (_what, limits, error) => {
    const before = children()
    const thrown: unknown = await parseFleetApart(ctx, `# ${CANARY}\n${WORST.slice(400)}    at ${CANARY} (x:1:1)\n`, OPTIONS, {
      ...ENOUGH,
      ...limits,
    }).catch((reason: unknown) => reason)
    expect(thrown).toBeInstanceOf(RekeyError)
    expect(thrown).toMatchObject(ERRORS[error])
    expect(inspect(thrown, { depth: 9 }) + JSON.stringify(thrown)).not.toContain(CANARY)
    expect(children()).toEqual(before)
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

test('the child is told nothing by its environment or its arguments, writes no core, and ends before the server', async () => {
  const out = join(folder, 'seen.json')
  const source = `
    import { readFileSync, writeFileSync } from 'node:fs'
    const of = (name) => readFileSync('/proc/self/' + name, 'latin1')
    const args = of('cmdline').split('\\0')
    const seen = { env: process.env, args, oom: of('oom_score_adj').trim(), limits: of('limits'), at: process.cwd() }
    writeFileSync(${JSON.stringify(out)}, JSON.stringify(seen))`
  const path = program(source)
  await expect(parseFleetApart(ctx, `# ${CANARY}\n${GOOD}${PADDING}`, OPTIONS, { ms: 20_000, mb: 512, program: path })).rejects.toThrow(
    'died',
  )
  const seen = JSON.parse(readFileSync(out, 'utf8'))
  expect(seen.args).toEqual([process.execPath, '--max-old-space-size=512', fileURLToPath(path), ''])
  expect(seen).toMatchObject({ env: {}, oom: '1000', at: '/' })
  expect(seen.limits).toMatch(/^Max core file size +0 +0 /m)
  expect(seen.limits).toMatch(/^Max cpu time +100 +100 /m)
})

/** A server that reads one file with a parser that never ends, and what it does while that runs. */
async function ownerOf(
  parser: string,
  then: string,
): Promise<{ readonly code: number | null; readonly child: number; readonly pidFile: string }> {
  const pidFile = join(folder, newId())
  const slow = program(`import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); ${parser}`)
  const source = `
    import { existsSync } from 'node:fs'
    import { parseFleetApart } from ${JSON.stringify(new URL('./fleet.apart.ts', import.meta.url).href)}
    import { makeCtx } from ${JSON.stringify(new URL('../kernel/index.ts', import.meta.url).href)}
    const limits = { ms: 400, mb: 256, program: new URL(${JSON.stringify(slow.href)}) }
    void parseFleetApart(makeCtx('x', 'x'), 'x'.repeat(99_999), {}, limits).catch(() => undefined)
    setInterval(() => { if (existsSync(${JSON.stringify(pidFile)})) ${then} }, 5)`
  const owner = spawn(process.execPath, [fileURLToPath(program(source))], { stdio: 'ignore' })
  const [code] = (await once(owner, 'exit')) as [number | null]
  return { code, child: Number(readFileSync(pidFile, 'utf8')), pidFile }
}

async function isGone(pid: number, withinMs: number): Promise<boolean> {
  for (let waited = 0; waited < withinMs; waited += 50) {
    if (!existsSync(`/proc/${pid}`)) return true
    await sleep(50)
  }
  return false
}

test.each([
  ['a server that exits', 'for (;;);', 'process.exit(3)'],
  // Nobody is left to end it: it has used up its processor time.
  ['a server that is killed', 'for (;;);', "process.kill(process.pid, 'SIGKILL')"],
  ['a server that is killed while the parser waits for its answer', 'process.stdin.resume()', "process.kill(process.pid, 'SIGKILL')"],
])('%s leaves no parser behind', async (_what, parser, then) => {
  const { code, child } = await ownerOf(parser, then)
  expect(code).toBe(then.includes('exit') ? 3 : null)
  expect(await isGone(child, 40_000)).toBe(true)
})
