/** For tests of what runs in a child only: children that die in every way, and what is left of them. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll } from 'vitest'
import type { ApartLimits } from './apart.ts'
import { newId } from './ids.ts'

export const folder = mkdtempSync(join(tmpdir(), 'rekey-apart-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A child that does this instead of its work. */
export function program(source: string): URL {
  const path = join(folder, `${newId()}.mjs`)
  writeFileSync(path, source)
  return pathToFileURL(path)
}

/** The processes that this one has started, by what is between the name and the parent of `/proc/PID/stat`. */
export function children(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/stat`, 'utf8')
            .replace(/^.*\) . /s, '')
            .split(' ')[0] === String(process.pid)
        )
      } catch {
        return false
      }
    })
}

/** Text that no error of a child may quote, though some of those below say it. */
export const CANARY = 'canary-8812'

/** What a child does, under which bounds, and which of the errors of its kind that is. */
export const DEATHS: readonly (readonly [what: string, limits: Partial<ApartLimits>, error: 'time' | 'memory' | 'died' | 'killed'])[] = [
  // Less than the engine needs for loading a parser: in a thread this ended the whole process.
  ['cannot even begin with its memory', { mb: 8 }, 'memory'],
  // The engine meets its limit inside its own code.
  ['only allocates', { mb: 64, program: program('const all = []; for (;;) all.push(new Array(1000).fill({}))') }, 'memory'],
  ['never ends', { ms: 800, program: program('for (;;);') }, 'time'],
  ['waits for ever', { ms: 800, program: program('setInterval(() => {}, 1000)') }, 'time'],
  ['exits', { program: program('process.exit(0)') }, 'died'],
  ['aborts', { program: program('process.abort()') }, 'died'],
  ['is killed', { program: program("process.kill(process.pid, 'SIGKILL')") }, 'killed'],
  [
    'dies in the middle of a word',
    { program: program('process.stdout.write(Buffer.from([0, 0, 9, 9, 1]), () => process.exit(0))') },
    'died',
  ],
  ['says a word without end', { program: program('process.stdout.write(Buffer.alloc(64, 255))') }, 'died'],
  ['says what is no word', { program: program(`process.stdout.write(Buffer.from('\\0\\0\\0\\x04${CANARY}', 'latin1'))`) }, 'died'],
  [
    'throws an error that quotes its work',
    { program: program(`setTimeout(() => { throw new Error('${CANARY} out of date') }, 50)`) },
    'died',
  ],
  ['throws what is no error', { program: program(`throw '${CANARY}'`) }, 'died'],
  ['cannot be loaded', { program: new URL('./nothing.ts', import.meta.url) }, 'died'],
  ['recurses too deeply', { program: program('const f = () => f() + 1; f()') }, 'died'],
]
