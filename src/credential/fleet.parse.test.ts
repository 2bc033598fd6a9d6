import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { LIMITS, RekeyError } from '../kernel/index.ts'
import { faultsOf, GOOD, OPTIONS } from './fleet.kit.ts'
import { decodeFleet, parseFleet } from './fleet.parse.ts'

test('a good file is read with every default filled in', () => {
  const fleet = parseFleet(GOOD, OPTIONS)
  expect(fleet.systems).toEqual([
    {
      name: 'orders-db',
      connector: 'postgres',
      address: { host: '127.0.0.1', port: 5433, database: 'orders', tls: 'off', caFile: null },
      root: { account: 'rekey_root', secret: { file: './root.secret' } },
      limits: { concurrent: 4 },
    },
    {
      name: 'cache',
      connector: 'redis',
      address: { host: 'cache.example.net', port: 5432, database: null, tls: 'verify-full', caFile: './ca.pem' },
      root: { account: 'default', secret: { env: 'CACHE_ROOT' } },
      limits: { concurrent: 8 },
    },
  ])
  expect(fleet.identities).toEqual([
    { name: 'orders-api', kind: 'workload', owner: 'team-orders', purpose: 'serves orders', environment: 'prod' },
  ])
  expect(fleet.credentials[0]).toEqual({
    name: 'orders-api@orders-db',
    identity: 'orders-api',
    system: 'orders-db',
    accounts: ['orders_api'],
    strategy: 'in-place',
    current: { file: './orders.secret' },
    rotate: { everySeconds: 2_592_000, graceSeconds: 600 },
    consumers: [
      { name: 'orders-api-1', identity: null, file: { path: './orders.env', key: 'DB_PASSWORD' }, activation: 'session' },
      { name: 'orders-api-2', identity: 'orders-api', file: null, activation: 'session' },
    ],
  })
  expect(fleet.credentials[1]).toMatchObject({
    accounts: ['orders_a', 'orders_b'],
    current: null,
    rotate: { everySeconds: null, graceSeconds: 0 },
    consumers: [{ file: { path: './job.secret', key: null } }],
  })
  expect(fleet.credentials[2]).toMatchObject({ current: { prompt: true }, strategy: 'dual' })
})

test('a file may declare one part only', () => {
  expect(parseFleet('version: 1\n', OPTIONS)).toEqual({ systems: [], identities: [], credentials: [] })
  expect(parseFleet('\ufeffversion: 1\r\ncredentials: []\r\n', OPTIONS).credentials).toEqual([])
})

test.each(['off', 'false', "'off'", '!!NO'])('tls: %s', (written) => {
  const text = GOOD.replace('tls: off', () => `tls: ${written}`)
  if (written === '!!NO') return expect(faultsOf(text)).toHaveLength(1)
  expect(parseFleet(text, OPTIONS).systems[0]?.address.tls).toBe('off')
})

test('without a word about tls the certificate is checked, except over a socket', () => {
  expect(parseFleet(GOOD.replace('127.0.0.1, port: 5433, database: orders, tls: off', '/run/pg'), OPTIONS).systems[0]?.address.tls).toBe(
    'off',
  )
  expect(parseFleet(GOOD.replace(', tls: off', ''), OPTIONS).systems[0]?.address.tls).toBe('verify-full')
})

test('a session that does not name its consumer can stand for one consumer only', () => {
  const text = GOOD.replace('connector: postgres', 'connector: mariadb').replace(/ {2}- name: orders-job[\s\S]*?none }\n/, '')
  expect(faultsOf(text)).toEqual([
    {
      line: 27,
      path: 'credentials[0].consumers[1].activation',
      message: 'A session on mariadb does not tell whose it is: only one consumer of a credential can use session. Use report.',
    },
  ])
})

test('all faults of all kinds come at once, in the order of their lines', () => {
  const text = GOOD.replace('tls: off', 'tls: on').replace('kind: workload', 'kind: x').replace('strategy: dual', 'strategy: in-place')
  expect(faultsOf(text).map(({ line }) => line)).toEqual([5, 16, 39])
})

test.each([
  ['', 1, 'The file must be a mapping (key: value).'],
  ['- a', 1, 'The file must be a mapping (key: value).'],
  ['version: 1\n---\nversion: 1', 2, 'The file must be one document: take the second "---" out.'],
  ['version: 1\nsystems: &a []', 2, 'Anchors and aliases (&name, *name) are not read: write the value out.'],
  ['version: 1\nsystems: *a', 2, 'Anchors and aliases (&name, *name) are not read: write the value out.'],
  ['version: 1\nsystems: &a []\nidentities: *a', 2, 'Anchors and aliases (&name, *name) are not read: write the value out.'],
  ['version: 1\n<<: { systems: [] }', 2, 'Merge keys (<<) are not read: write the values out.'],
  ['version: 1\nsystems: !!seq []', 2, 'Tags (!name) are not read: write the plain value.'],
  ['version: !!int 1', 1, 'Tags (!name) are not read: write the plain value.'],
  ['!!str version: 1', 1, 'Tags (!name) are not read: write the plain value.'],
  ['%YAML 1.1\n---\nversion: 1', 1, 'The file is read as YAML 1.2: take the %YAML line out.'],
  ['version: 1\nsystems:\n\t- a', 3, 'A tab is used as indentation: use spaces.'],
  ['version: 1\nsystems: [', 2, 'The indentation does not fit the lines before it, or a bracket is not closed.'],
  ['version: "1', 1, 'A colon, comma, quote or bracket is missing.'],
  ['version: 1\n? [a]\n: b', 2, 'A key must be plain text.'],
  ['version: 1\nsystems:\n', 2, '"systems" must be a list.'],
  ['version: 1\n# \u0007', 2, 'A control character stands here.'],
  ['version: 1\n# \ud800', 2, 'The file is not valid UTF-8 text.'],
  ['version: 1\n# \ufffd', 2, 'The file is not valid UTF-8 text.'],
])('%j is refused', (text, line, message) => {
  expect(faultsOf(text)).toContainEqual(expect.objectContaining({ line, message }))
})

test('a bracket that nobody closes is one fault, and what is wrong elsewhere is told beside it', () => {
  const text = 'version: 1\nother: "\\q"\ncredentials:\n  - name: [a\n  - name: b\n    identity: x\n  - name: c\n    identity: x\n'
  expect(faultsOf(text).map(({ line }) => line)).toEqual([2, 5])
})

test('no fault repeats a value that stands where a secret is expected', () => {
  const secret = 'kR7-canary-9Zq'
  const places = [
    secret,
    `"${secret}`,
    `{ ${secret} }`,
    `{ ${secret}: 1, ${secret}: 2 }`,
    `[${secret}]`,
    `*${secret}`,
    `!${secret} x`,
    `&${secret} x`,
  ]
  for (const value of [...places, `{ file: "${secret}\\n" }`, `{ env: ${secret} }`, `{ prompt: ${secret} }`, `"\\${secret}"`]) {
    const faults = faultsOf(GOOD.replace('{ prompt: true }', () => value))
    expect(JSON.stringify(faults)).not.toContain(secret)
    expect(faults.some(({ line }) => line !== undefined && line >= 40)).toBe(true)
  }
})

test('nothing is told of a key that may be a secret, and one of words is named', () => {
  const secrets = [
    'kR7-canary-9Zq',
    'hunter2hunter2',
    'hunter2',
    'pa55-w',
    'qzjxkvbpwmgyfh',
    'AKIAIOSFODNN7EXAMPLE',
    'correct horse battery',
    'aBcDeFgHiJkLm',
    'x'.repeat(90),
  ]
  for (const secret of secrets) {
    const [fault] = faultsOf(`version: 1\n? ${JSON.stringify(secret)}\n: 1\n`)
    expect(fault?.line).toBe(2)
    expect(JSON.stringify(fault)).not.toContain(secret.slice(0, 3))
    expect(fault?.message).toMatch(/^What stands here, not shown because it may be a secret, is not a key that may stand here\./)
  }
  for (const key of ['credentails', 'connectionTimeoutSeconds', 'max-connections', 'root_account_name', 'Systems', 'x', 'db-1']) {
    expect(faultsOf(`version: 1\n${key}: 1\n`)[0]?.message).toContain(`"${key}" is not a key`)
  }
})

test('a file beyond the limit is refused before it is read', () => {
  const text = `version: 1\n${'#'.repeat(LIMITS.fleetBytes)}`
  expect(faultsOf(text)[0]?.message).toBe('The file is larger than 4 MiB.')
  expect(() => decodeFleet(new TextEncoder().encode(text))).toThrow('too large')
})

test('bytes that are not UTF-8 are refused', () => {
  expect(decodeFleet(new TextEncoder().encode(GOOD))).toBe(GOOD)
  expect(() => decodeFleet(Uint8Array.of(0x76, 0xff))).toThrow('not valid UTF-8')
})

test('of very many faults the first 500 are listed and all are counted', () => {
  const text = `version: 1\nidentities:\n${'  - {}\n'.repeat(300)}`
  expect(() => parseFleet(text, OPTIONS)).toThrow('1500 faults; nothing was applied. The first 500 are listed.')
  expect(faultsOf(text)).toHaveLength(500)
})

test('an error of the connector that is not about the name is passed on', () => {
  const checkAccount = () => {
    throw new RekeyError('internal', 'A fault of ours.')
  }
  expect(() => parseFleet(GOOD, { ...OPTIONS, checkAccount })).toThrow('A fault of ours.')
})

test('the examples in the guide are good files', () => {
  const guide = readFileSync(new URL('../../docs/guide/fleet.md', import.meta.url), 'utf8')
  const examples = [...guide.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
  expect(examples.length).toBeGreaterThan(0)
  for (const example of examples) expect(parseFleet(example, OPTIONS).credentials.length).toBeGreaterThan(0)
})
