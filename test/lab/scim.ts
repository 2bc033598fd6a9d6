/** The conformance tester of the python-scim project, in a virtual environment that is kept between runs, outside the repository. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Secret } from '../../src/kernel/index.ts'
import { sha256Hex } from '../../src/seal/index.ts'
import { findProgram } from './program.ts'

const REQUIREMENTS = new URL('scim_requirements.txt', import.meta.url).pathname
const SCRIPT = new URL('scim_tester.py', import.meta.url).pathname
const INSTALL_MS = 240_000

/** One check as the tester saw it. */
export interface Check {
  readonly status: string
  readonly title: string | null
  readonly type: string | null
  readonly reason: string | null
}

/** The interpreter of the environment with the tester in it; or why there is none, in words. */
export function scimTester(): { readonly python: string } | { readonly missing: string } {
  const python = findProgram('python3')
  if (python === null) return { missing: 'python3 is not installed' }
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'rekey-scim')
  // Other requirements are another environment.
  const place = join(cache, `tester-${sha256Hex(Secret.fromText(readFileSync(REQUIREMENTS, 'utf8'))).slice(0, 16)}`)
  const found = join(place, 'bin', 'python')
  if (existsSync(join(place, 'complete'))) return { python: found }
  mkdirSync(cache, { recursive: true })
  const run = (program: string, ...args: string[]) => spawnSync(program, args, { encoding: 'utf8', timeout: INSTALL_MS })
  // An environment knows its own place: what another run left half done is moved away, never used.
  if (existsSync(place)) {
    const aside = mkdtempSync(join(cache, 'old-'))
    renameSync(place, join(aside, 'tester'))
    rmSync(aside, { recursive: true, force: true })
  }
  const made = run(python, '-m', 'venv', place)
  if (made.status !== 0) return { missing: 'python3 cannot make a virtual environment (Debian: python3-venv)' }
  const installed = run(
    found,
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--require-hashes',
    '--only-binary',
    ':all:',
    '-r',
    REQUIREMENTS,
  )
  if (installed.status !== 0) return { missing: 'pip cannot have scim2-tester (Python 3.11 to 3.13 and its registry are needed)' }
  writeFileSync(join(place, 'complete'), '')
  return { python: found }
}

/** Every check against the SCIM server at `url`. The token goes through standard input: arguments can be read by others. */
export async function runScimTester(python: string, url: string, token: string): Promise<{ checks: Check[]; errors: string }> {
  const child = spawn(python, [SCRIPT, url], { stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.end(`${token}\n`)
  const [out, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  const checks = out
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Check => JSON.parse(line))
  return { checks, errors }
}
