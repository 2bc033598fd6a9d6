/** The checkers that have programs of their own: formatting and lint, types, unused code. Each must end with 0. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { writeApiTypes } from '../scripts/api-types.ts'
import { ROOT } from './source.ts'

const CHECK_MS = 300_000

/** The script behind a package's command, so that it runs with this Node and not with the one that its first line finds. */
function scriptOf(name: string, command: string): string {
  const folder = join(ROOT, 'node_modules', name)
  const manifest: { bin: string | Record<string, string> } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const path = typeof manifest.bin === 'string' ? manifest.bin : manifest.bin[command]
  if (!path) throw new Error(`${name} has no command ${command}`)
  return join(folder, path)
}

// The console is checked against the document as it is now.
beforeAll(writeApiTypes)

test.each([
  { name: '@biomejs/biome', command: 'biome', args: ['ci', '--colors=off', '--max-diagnostics=50'] },
  { name: 'typescript', command: 'tsc', args: ['--noEmit', '--pretty', 'false', '-p', '.'] },
  { name: 'typescript', command: 'tsc', args: ['--noEmit', '--pretty', 'false', '-p', 'console'] },
  { name: 'knip', command: 'knip', args: ['--no-progress', '--no-config-hints'] },
])(
  '$command has no objection',
  ({ name, command, args }) => {
    const run = spawnSync(process.execPath, [scriptOf(name, command), ...args], { cwd: ROOT, encoding: 'utf8', timeout: CHECK_MS })
    expect(run.status, `${run.stdout}${run.stderr}${run.error ?? ''}`).toBe(0)
  },
  CHECK_MS,
)
