/** The documentation is true (style habit 15): its commands run, its files parse, its links lead somewhere, its pages match the code. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseFleet } from '../src/credential/fleet.parse.ts'
import { ERRORS, RekeyError } from '../src/kernel/index.ts'
import { freePort } from './lab/ports.ts'
import { type Block, blocksOf, headingsOf, inlineCodeOf, linksOf } from './markdown.ts'
import { commandsOf, knownIn, shellScript } from './session.ts'
import { ROOT, textFiles, textOf } from './source.ts'

const SESSION_MS = 600_000

const documents = textFiles().filter((path) => path.endsWith('.md'))
const guides = documents.filter((path) => path === 'README.md' || path.startsWith('docs/guide/'))

/** Blocks of a document that a reader would type. `# not run` as the first line says that the reader should not here and now. */
function shellBlocks(document: string): Block[] {
  return blocksOf(textOf(document)).filter(({ language, text }) => language === 'sh' && !text.startsWith('# not run'))
}

const sessions = guides.filter((document) => shellBlocks(document).length > 0)

test('documents are found', () => {
  expect(documents.length).toBeGreaterThan(Object.keys(ERRORS).length - 1)
  for (const document of documents) expect(() => blocksOf(textOf(document)), document).not.toThrow()
})

test.each(sessions)(
  'the commands of %s work',
  async (document) => {
    const folder = mkdtempSync(join(tmpdir(), 'rekey-docs-'))
    // The account of the embedded database may pass: else it lies elsewhere, where nobody would remove it.
    chmodSync(folder, 0o711)
    const address = `127.0.0.1:${await freePort()}`
    try {
      mkdirSync(join(folder, 'home'), { mode: 0o700 })
      writeFileSync(join(folder, 'session.sh'), shellScript(shellBlocks(document), document))
      const env = {
        PATH: `${join(ROOT, 'bin')}:${process.env.PATH}`,
        HOME: join(folder, 'home'),
        LANG: 'C.UTF-8',
        REKEY_LISTEN: address,
        REKEY_URL: `http://${address}`,
        REKEY_DOC_LOG: join(folder, 'serve.log'),
      }
      mkdirSync(join(folder, 'work'))
      const run = spawnSync('sh', ['../session.sh'], { cwd: join(folder, 'work'), env, encoding: 'utf8', timeout: SESSION_MS })
      expect(run.status, `${run.stdout}${run.stderr}${run.error ?? ''}`).toBe(0)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
  SESSION_MS,
)

const fleets = guides.flatMap((document) =>
  blocksOf(textOf(document))
    .filter(({ language, text }) => language === 'yaml' && text.startsWith('version: 1\n'))
    .map((block) => ({ document, ...block })),
)

test.each(fleets)('the fleet of $document:$line has no faults', async ({ text }) => {
  const { CONNECTORS, connectorFor } = await import('../src/connectors/registry.ts')
  const options = {
    knownConnector: (name: string) => CONNECTORS.get(name)?.describe() ?? null,
    checkAccount: (connector: string, account: string) => connectorFor(connector).checkAccount(account),
  }
  const faults = faultsOf(() => parseFleet(text, options))
  expect(faults).toEqual([])
})

/** The faults that a parse throws, each with its line; none if it does not throw. */
function faultsOf(parse: () => unknown): string[] {
  try {
    parse()
    return []
  } catch (error) {
    if (!(error instanceof RekeyError)) throw error
    return (error.faults ?? [{ message: error.message, line: 0 }]).map(({ message, line }) => `line ${line}: ${message}`)
  }
}

test('links lead somewhere', () => {
  const broken = documents.flatMap((document) =>
    linksOf(document, textOf(document)).flatMap(({ path, heading, line }) => {
      const at = join(ROOT, path)
      const found = existsSync(at) && (heading === null || statSync(at).isDirectory() || headingsOf(textOf(path)).includes(heading))
      return found ? [] : [`${document}:${line} → ${path}${heading === null ? '' : `#${heading}`}`]
    }),
  )
  expect(broken).toEqual([])
})

test('every error code has a page, and every page a code', () => {
  const pages = documents.flatMap((path) => /^docs\/errors\/(\w+)\.md$/.exec(path)?.[1] ?? [])
  expect(pages.sort()).toEqual(Object.keys(ERRORS).sort())
})

test.each(Object.entries(ERRORS))('the page of %s says what it means and what to do', (code, { status, title }) => {
  const page = textOf(`docs/errors/${code}.md`)
  expect(page).toMatch(new RegExp(`^# \`${code}\`\\n`))
  expect(page).toContain(`${title}. HTTP status ${status}.`)
  for (const part of ['What it means', 'Why it happens', 'What to do next'])
    expect(page).toMatch(new RegExp(`\\*\\*${part}\\.\\*\\* .{40}`))
})

const mentioned = new Map<string, string>()
for (const document of documents) {
  for (const code of inlineCodeOf(textOf(document))) for (const command of commandsOf(code)) mentioned.set(command, document)
}

test.skipIf(!existsSync(join(ROOT, 'bin/rekey')))(
  'every command that a document names exists',
  () => {
    const unknown = [...mentioned].filter(([command]) => {
      const help = spawnSync(join(ROOT, 'bin/rekey'), [...command.split(' '), '--help'], { encoding: 'utf8', timeout: 30_000 })
      return !knownIn(help.stdout, command)
    })
    expect(unknown.map(([command, document]) => `${document}: rekey ${command}`)).toEqual([])
    // One process for each command.
  },
  240_000,
)
