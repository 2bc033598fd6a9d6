import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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
