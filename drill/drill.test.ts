/** The drill as a stranger runs it: its words, its exit status, and nothing left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { sleep } from '../src/kernel/index.ts'
import { FILE_FOLDER } from '../test/lab/copies.ts'
import { findProgram } from '../test/lab/program.ts'
import type { Summary } from './summary.ts'

const LIMIT_MS = 120_000
/** In CI every system must be there; elsewhere what is missing is named by the drill itself. */
const ALL = process.env.REKEY_LAB === 'all'
const HAVE = { MariaDB: findProgram('mariadbd') !== null, Redis: findProgram('redis-server') !== null }

const folders: string[] = []
const children: ChildProcess[] = []

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

interface Started {
  readonly child: ChildProcess
  /** Everything it makes that is temporary goes in here. */
  readonly temporary: string
  readonly out: string
  said(): string
  ended: Promise<number | null>
}

function startDrill(...args: readonly string[]): Started {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-test-'))
  folders.push(folder)
  const [temporary, out] = [join(folder, 'tmp'), join(folder, 'out')]
  // As root, database users must be able to pass.
  chmodSync(folder, 0o711)
  mkdirSync(temporary, { mode: 0o711 })
  mkdirSync(out)
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--plain', '--json', '--out', out, ...args], {
    // Not the tests' place for servers: a drill's are in its own folder, and what it leaves there is looked for.
    env: {
      ...process.env,
      TMPDIR: temporary,
      [FILE_FOLDER]: undefined,
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/must-not-be-used',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  let text = ''
  child.stdout?.on('data', (data: Buffer) => {
    text += data
  })
  child.stderr?.on('data', (data: Buffer) => {
    text += data
  })
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return { child, temporary, out, said: () => text, ended }
}

async function until(is: () => boolean): Promise<void> {
  while (!is()) await sleep(20)
}

/** Command lines of processes that have to do with this drill. */
function processesOf(temporary: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
        return command.includes(temporary) ? [command] : []
      } catch {
        return []
      }
    })
}

test(
  'everything that leaked is proven dead, the evidence is sound, and nothing is left behind',
  async () => {
    const drill = startDrill()
    expect(await drill.ended, drill.said()).toBe(0)
    const summary = JSON.parse(drill.said().trimEnd().split('\n').at(-1) ?? '') as Summary
    const missing = Object.entries(HAVE).flatMap(([name, have]) => (have ? [] : [name]))
    expect(summary).toMatchObject({ ok: true, faults: [], missing })
    expect(ALL ? summary.credentials : 40).toBe(40)
    expect(summary.provenDead).toBe(summary.leaked)
    expect(summary.leaked).toBeGreaterThanOrEqual(22)
    expect(summary.attacker).toEqual({ acceptedBefore: summary.leaked, sessionsBefore: summary.leaked, acceptedAfter: 0, sessionsAfter: 0 })
    expect(summary.consumers.working).toBe(summary.consumers.count)
    expect(summary.consumers.moved).toBeGreaterThanOrEqual(summary.leaked)
    expect(summary.evidence).toMatchObject({ sound: true, tampered: { found: expect.stringMatching(/^credential event \d+: /) } })
    expect(existsSync(summary.evidence.bundle)).toBe(true)
    expect(readdirSync(drill.out).sort()).toEqual(['.gitignore', 'evidence.html', 'evidence.key'])
    expect(readdirSync(drill.temporary)).toEqual([])
    expect(processesOf(drill.temporary)).toEqual([])
  },
  LIMIT_MS,
)

test.each([
  ['while it builds the fleet', '1  A fleet', 'SIGTERM'],
  ['in the middle of the rotation', '4  Rotation', 'SIGINT'],
] as const)(
  'interrupted %s it leaves nothing',
  async (_, words, signal) => {
    const drill = startDrill('--only', 'postgres')
    await until(() => drill.said().includes(words) || drill.child.exitCode !== null)
    drill.child.kill(signal)
    expect(await drill.ended, drill.said()).toBe(130)
    expect(drill.said()).toContain('Everything is stopped and removed')
    expect(readdirSync(drill.temporary)).toEqual([])
    expect(processesOf(drill.temporary)).toEqual([])
  },
  LIMIT_MS,
)

test(
  'interrupted twice it ends at once, and leaves nothing either',
  async () => {
    const drill = startDrill('--only', 'postgres')
    await until(() => drill.said().includes('2  One store') || drill.child.exitCode !== null)
    drill.child.kill('SIGINT')
    await sleep(600)
    // On a quick machine everything is cleared up by now.
    if (!drill.said().includes('Everything is stopped and removed')) drill.child.kill('SIGINT')
    expect(await drill.ended, drill.said()).toBe(130)
    await until(() => processesOf(drill.temporary).length === 0)
    expect(readdirSync(drill.temporary)).toEqual([])
  },
  LIMIT_MS,
)

test(
  'with --keep all goes on until --stop',
  async () => {
    const drill = startDrill('--only', 'postgres', '--keep')
    expect(await drill.ended, drill.said()).toBe(0)
    const summary = JSON.parse(drill.said().trimEnd().split('\n').at(-1) ?? '') as Summary
    expect((await fetch(`${summary.url}/readyz`)).status).toBe(200)
    const running = JSON.parse(readFileSync(join(drill.out, 'running.json'), 'utf8')) as { processes: { what: string; pid: number }[] }
    for (const { what, pid } of running.processes) expect(() => process.kill(pid, 0), what).not.toThrow()
    expect(drill.said()).toContain(`To stop it: npm run drill -- --stop --out ${drill.out}`)
    // From another folder, and without being told where its results are.
    const env = { ...process.env, TMPDIR: drill.temporary }
    const stop = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--stop'], { cwd: drill.out, env, stdio: 'ignore' })
    expect((await once(stop, 'close'))[0]).toBe(0)
    expect(readdirSync(drill.temporary)).toEqual([])
    expect(processesOf(drill.temporary)).toEqual([])
  },
  LIMIT_MS,
)

test('no value of the fleet is shown, or given to a process', async () => {
  const drill = startDrill('--only', 'postgres')
  await until(() => drill.said().includes('4  Rotation') || drill.child.exitCode !== null)
  const [folder = ''] = readdirSync(drill.temporary)
  const store = readFileSync(join(drill.temporary, folder, 'leaked-store.env'), 'utf8')
  const values = store
    .trimEnd()
    .split('\n')
    .map((line) => new URL(line.slice(line.indexOf('=') + 1)).password)
  const shown = processesOf(drill.temporary).join('\n')
  expect(await drill.ended, drill.said()).toBe(0)
  expect(values.length).toBe(22)
  expect(values.every((value) => value.length >= 40)).toBe(true)
  expect(values.filter((value) => drill.said().includes(value) || shown.includes(value))).toEqual([])
})
