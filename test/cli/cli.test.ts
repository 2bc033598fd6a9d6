/** Every `*.txt` beside this file specifies a part of the command line; see runner.ts for the language. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FILE_FOLDER, serverFolder } from '../lab/copies.ts'
import { copyCluster } from '../lab/database.ts'
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
    const text = readFileSync(join(import.meta.dirname, name), 'utf8')
    const place = mkdtempSync(join(serverFolder(), 'rekey-cli-'))
    chmodSync(place, 0o711)
    const data = join(place, 'data')
    // What a first start makes is for test/e2e/.
    if (/ rekey serve\b/.test(text)) await copyCluster(data)
    const environment = {
      PATH: `${join(ROOT, 'bin')}:${process.env.PATH}`,
      LANG: 'C.UTF-8',
      REKEY_DATA: data,
      [FILE_FOLDER]: place,
      // For scripts that run programs of the repository: the same Node as this one.
      ROOT,
      NODE: process.execPath,
    }
    try {
      await runScript(name, text, work, environment)
    } catch (error) {
      if (!(error instanceof Skipped)) throw error
      console.warn(`${name} skipped: ${error.message}`)
    } finally {
      for (const each of [work, place]) rmSync(each, { recursive: true, force: true, maxRetries: 5 })
    }
  },
  SCRIPT_MS,
)
