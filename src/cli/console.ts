/** Builds the console where its sources are newer than its build: in a checkout, where the builder is installed. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Secret } from '../kernel/index.ts'
import { sha256Hex } from '../seal/index.ts'

const ROOT = new URL('../..', import.meta.url).pathname
const SOURCES = join(ROOT, 'console')
const BUILDER = join(ROOT, 'node_modules/vite/bin/vite.js')
const DIST = join(SOURCES, 'dist')
const STAMP = 'stamp.txt'
/** Where a build is made: no source, and nothing that git or the rules look at. */
const WORK = join(SOURCES, 'generated')
/** Not sources: what was built, and types, which leave nothing in a build. */
const MADE = ['dist', 'generated']
/** Minutes on a slow machine, seconds on most: one that hangs must not keep a server from its start. */
const BUILD_MS = 180_000

/** How it went: nothing to do, done, or why it was not done. */
export type Built = 'fresh' | 'built' | 'no sources' | 'no builder' | 'failed'

/**
 * Builds the console if its build is missing or stale. Never throws: a server works without its console. `say` is told what happens,
 * and what the builder said if it failed.
 */
export async function buildConsole(say: (line: string) => void): Promise<Built> {
  try {
    if (!existsSync(join(SOURCES, 'index.html'))) return 'no sources'
    const stamp = stampOf(SOURCES)
    if (stampIn(DIST) === stamp) return 'fresh'
    if (!existsSync(BUILDER)) return 'no builder'
    say('rekey: building the console (a few seconds)')
    return await build(stamp, say)
  } catch (error) {
    say(`rekey: the console was not built: ${error instanceof Error ? error.message : 'unknown'}`)
    return 'failed'
  }
}

/** In a folder of its own, put in place whole: whoever reads meanwhile finds the old build or the new one. */
async function build(stamp: string, say: (line: string) => void): Promise<Built> {
  mkdirSync(WORK, { recursive: true })
  const folder = mkdtempSync(join(WORK, 'build-'))
  try {
    const said = await run([BUILDER, 'build', SOURCES, '--configLoader', 'native', '--outDir', join(folder, 'new'), '--logLevel', 'warn'])
    if (said !== null) {
      say(`rekey: the console was not built.\n${said}`)
      return 'failed'
    }
    writeFileSync(join(folder, 'new', STAMP), stamp)
    if (existsSync(DIST)) renameSync(DIST, join(folder, 'old'))
    renameSync(join(folder, 'new'), DIST)
    return 'built'
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What a failed build said; null if it did not fail. Nothing of the environment is handed on: it may hold secrets. */
function run(args: readonly string[]): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env: { NODE_ENV: 'production' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: BUILD_MS,
    })
    let said = ''
    const hear = (chunk: Buffer) => {
      said += chunk.toString('utf8')
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', reject)
    child.on('close', (code) => resolve(code === 0 ? null : said.slice(-4_000)))
  })
}

function stampIn(folder: string): string | null {
  const path = join(folder, STAMP)
  return existsSync(path) ? readFileSync(path, 'utf8') : null
}

/** Stands for every source of the console and for the versions of what it is made with. */
function stampOf(folder: string): string {
  const paths = [join(ROOT, 'package-lock.json'), ...filesIn(folder)]
  const parts = paths.map((path) => {
    const text = readFileSync(path, 'utf8')
    return `${path.slice(ROOT.length)} ${text.length}\n${text}`
  })
  return sha256Hex(Secret.fromText(parts.join('')))
}

function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !MADE.includes(name))
  return entries.flatMap((entry) => (entry.isDirectory() ? filesIn(join(folder, entry.name)) : [join(folder, entry.name)])).sort()
}
