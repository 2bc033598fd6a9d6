import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { blocksOf, headingsOf, inlineCodeOf, linksOf, proseOf } from './markdown.ts'
import { commandsOf, knownIn, shellScript } from './session.ts'

const TEXT = `# A *first* thing: \`x\`

See [one](docs/a.md#part "title"), [here](#a-first-thing-x), [out](https://example.org/x.md) and \`[code](no.md)\`.

\`\`\`sh
echo [not](a-link.md) \`rekey in block\`
\`\`\`

1. In a list:
   \`\`\`yaml
   version: 1
     deeper: yes
   \`\`\`

## Twice
## Twice
`

test('blocks keep their text, without the indent of a list', () => {
  expect(blocksOf(TEXT)).toEqual([
    { language: 'sh', text: 'echo [not](a-link.md) `rekey in block`\n', line: 5 },
    { language: 'yaml', text: 'version: 1\n  deeper: yes\n', line: 10 },
  ])
  expect(() => blocksOf('a\n```sh\nb\n')).toThrow('line 2')
  expect(proseOf(TEXT).split('\n')).toHaveLength(TEXT.split('\n').length)
})

test('links, headings and inline code', () => {
  expect(linksOf('docs/x.md', TEXT).map(({ path, heading, line }) => [path, heading, line])).toEqual([
    ['docs/docs/a.md', 'part', 3],
    ['docs/x.md', 'a-first-thing-x', 3],
  ])
  expect(headingsOf(TEXT)).toEqual(['a-first-thing-x', 'twice', 'twice-1'])
  expect(inlineCodeOf(TEXT)).toEqual(['x', '[code](no.md)'])
})

test.each([
  ['rekey rotation start NAME… | --system S', ['rotation start']],
  ['rekey rotation retry|undo', ['rotation retry', 'rotation undo']],
  ['rekey apply -f fleet.yaml', ['apply']],
  ['rekey serve --role server|worker', ['serve']],
  ['rekey discover <system>', ['discover']],
  ['rekey --help', []],
  ['rekey', []],
  ['rekeying is not a command', []],
])('%s mentions %j', (code, commands) => {
  expect(commandsOf(code)).toEqual(commands)
})

test.each([
  ['Usage: rekey rotation start [options] <names...>', 'rotation start', true],
  ['Usage: rekey rotation start [options] <names...>', 'rotation start orders', true],
  ['Usage: rekey status [options]', 'status now', false],
  ['Usage: rekey rotation [options] [command]', 'rotation restart', false],
  ['Usage: rekey [options] [command]', 'restart', false],
  ['Usage: rekey rotation [options] [command]', 'rotation', true],
  ['error: unknown command', 'rotation', false],
])('help %j knows %j: %s', (help, command, known) => {
  expect(knownIn(help, command)).toBe(known)
})

/** Runs blocks with a `rekey` that is a shell script: its `serve` becomes ready, says so again when ended, and `status` asks after it. */
function session(text: string): { status: number | null; stdout: string; stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-session-'))
  try {
    const serve = 'trap "echo ended; exit 0" TERM; sleep 0.2; echo "rekey: ready on x"; echo $$ > pid; while :; do sleep 0.05; done'
    writeFileSync(join(folder, 'rekey'), `#!/bin/sh\n[ "$1" = serve ] || exec kill -0 "$(cat pid)"\n${serve}\n`, { mode: 0o755 })
    writeFileSync(join(folder, 'session.sh'), shellScript([{ language: 'sh', text, line: 7 }], 'README.md'))
    const env = { PATH: `${folder}:${process.env.PATH}`, REKEY_DOC_LOG: join(folder, 'log') }
    const run = spawnSync('sh', ['session.sh'], { cwd: folder, env, encoding: 'utf8', timeout: 20_000 })
    return { status: run.status, stdout: `${run.stdout}${readFileSync(join(folder, 'log'), 'utf8')}`, stderr: run.stderr }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('a server in a block runs on while the next commands do, and is ended after them', () => {
  const { status, stdout } = session('rekey serve --data x\nrekey status\necho asked\n')
  expect(stdout).toBe('asked\nrekey: ready on x\nended\n')
  expect(status).toBe(0)
})

test('a command that fails stops the session and is placed', () => {
  const { status, stdout, stderr } = session('rekey serve\nfalse\necho never\n')
  expect(stdout).not.toContain('never')
  expect(stderr).toContain('the block at README.md:7 ended with 1')
  expect(status).toBe(1)
})
