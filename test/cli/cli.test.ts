/** Every `*.txt` beside this file specifies a part of the command line; see runner.ts for the language. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../source.ts'
import { runScript, Skipped } from './runner.ts'

const SCRIPT_MS = 300_000

const scripts = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.txt'))

test('there are scripts', () => {
  expect(scripts).toContain('tools.txt')
})

test.each(scripts)(
  '%s',
  async (name) => {
    const work = mkdtempSync(join(tmpdir(), 'rekey-cli-'))
    const environment = {
      PATH: `${join(ROOT, 'bin')}:${process.env.PATH}`,
      LANG: 'C.UTF-8',
      REKEY_DATA: join(work, 'data'),
      // For scripts that run programs of the repository: the same Node as this one.
      ROOT,
      NODE: process.execPath,
    }
    try {
      await runScript(name, readFileSync(join(import.meta.dirname, name), 'utf8'), work, environment)
    } catch (error) {
      if (!(error instanceof Skipped)) throw error
      console.warn(`${name} skipped: ${error.message}`)
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  },
  SCRIPT_MS,
)
