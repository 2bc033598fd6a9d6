import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { type Needed, readInputs } from './inputs.ts'
import { Output } from './output.ts'

const folder = mkdtempSync(join(tmpdir(), 'rekey-inputs-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const out = new Output({ json: false, color: false })
for (const [name, text] of Object.entries({ good: 'ok\n', two: 'a\nb', 'ca.pem': 'PEM' }))
  writeFileSync(join(folder, name), text, { mode: 0o600 })

const FLEET = `version: 1
systems:
  - name: db
    address: { host: h, caFile: gone.pem }
    root:
      account: r
      secret: { file: ./absent }
credentials:
  - { name: one, current: { file: ./two } }
  - { name: two, current: { env: REKEY_NO_SUCH_VARIABLE } }
  - { name: three, current: { prompt: true } }
  - { name: four, current: { file: ./good } }
`
const fleet = { file: 'fleet.yaml', text: FLEET, folder }
const file = (name: string) => ({ file: join(folder, name) })
const NEEDED: readonly Needed[] = [
  { for: 'credential:two', source: { env: 'REKEY_NO_SUCH_VARIABLE' } },
  { for: 'system:db', source: file('absent') },
  { for: 'credential:one', source: file('two') },
  { for: 'credential:three', source: { prompt: true } },
  { for: 'credential:four', source: file('good') },
]

test('everything that is missing or unusable is named at once, in the order of the lines', async () => {
  const wrong = await readInputs(fleet, NEEDED, [join(folder, 'gone.pem')], { out, looking: false }).catch((error) => error)
  expect(wrong).toMatchObject({ code: 'bad_input' })
  expect(wrong.faults.map(({ path, line }: { path: string; line: number }) => `${path}:${line}`)).toEqual([
    'fleet.yaml:4',
    'fleet.yaml:7',
    'fleet.yaml:9',
    'fleet.yaml:10',
    'fleet.yaml:11',
  ])
  expect(wrong.faults[2].message).toBe('The secret of credential one holds a line break or a zero byte.')
})

test('what is there is read; what must be typed is left for later', async () => {
  expect(await readInputs(fleet, NEEDED.slice(3), [join(folder, 'ca.pem')], { out, looking: true })).toEqual({
    secrets: { 'credential:four': Buffer.from('ok').toString('base64') },
    authorities: { [join(folder, 'ca.pem')]: 'PEM' },
  })
})

test('a pipe or a device that a fleet file names is refused at once, and a link to a file is read', async () => {
  const pipe = join(folder, 'pipe')
  expect(spawnSync('/usr/bin/mkfifo', ['--', pipe]).status).toBe(0)
  symlinkSync(pipe, join(folder, 'to-pipe'))
  symlinkSync(join(folder, 'good'), join(folder, 'to-good'))
  const needed = [
    { for: 'credential:one', source: { file: pipe } },
    { for: 'credential:two', source: file('to-pipe') },
    { for: 'credential:three', source: { file: '/dev/zero' } },
    { for: 'credential:four', source: file('to-good') },
  ]
  const wrong = await readInputs(fleet, needed, [pipe, '/dev/zero'], { out, looking: false }).catch((error) => error)
  expect(wrong).toMatchObject({ code: 'bad_input' })
  expect(wrong.faults.map(({ message }: { message: string }) => message).sort()).toEqual([
    '/dev/zero cannot be read (not a regular file).',
    `${pipe} cannot be read (not a regular file).`,
    `The secret of credential one cannot be read: ${pipe} (not a regular file).`,
    'The secret of credential three cannot be read: /dev/zero (not a regular file).',
    `The secret of credential two cannot be read: ${join(folder, 'to-pipe')} (not a regular file).`,
  ])
}, 10_000)
