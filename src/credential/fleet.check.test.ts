import { expect, test } from 'vitest'
import { faultsOf, GOOD } from './fleet.kit.ts'

/** The faults of the good file after one replacement, as `line path: message`. */
function broken(find: string, replacement: string): string[] {
  expect(GOOD).toContain(find)
  return faultsOf(GOOD.replace(find, () => replacement)).map(({ line, path, message }) => `${line} ${path}: ${message}`)
}

/** What is replaced in the good file, by what, and the faults that follow. */
const CASES: readonly (readonly [string, string, ...string[]])[] = [
  ['version: 1', 'version: 2', '1 version: "version" must be 1.'],
  ['version: 1\n', '', '1 : "version" is missing.'],
  ['version: 1\n', 'version: 1\nversion: 1\n', '2 version: "version" stands twice in the same mapping.'],
  ['systems:', 'system:', '2 : "system" is not a key that may stand here. Did you mean "systems"?', ...missingSystems()],
  ['limits: {', 'limit: {', '7 systems[0]: "limit" is not a key that may stand here. Did you mean "limits"?'],
  ['concurrent: 4', 'concurrent: 0', '7 systems[0].limits.concurrent: "concurrent" must be a whole number from 1 to 64.'],
  ['concurrent: 4', 'concurrent: 65', '7 systems[0].limits.concurrent: "concurrent" must be a whole number from 1 to 64.'],
  ['port: 5433', 'port: 65536', '5 systems[0].address.port: "port" must be a whole number from 1 to 65535.'],
  ['port: 5433', 'port: "5433"', '5 systems[0].address.port: "port" must be a whole number from 1 to 65535.'],
  ['host: 127.0.0.1, ', '', '5 systems[0].address: "host" is missing.'],
  ['host: 127.0.0.1', 'host: "a b"', `5 systems[0].address.host: "host" ${HOST()}`],
  ['host: 127.0.0.1', "host: 'postgres://u:pw@h/db'", `5 systems[0].address.host: "host" ${HOST()}`],
  ['tls: off', 'tls: verify', '5 systems[0].address.tls: "tls" must be one of off, require, verify-full.'],
  ['tls: off', 'tls: requires', '5 systems[0].address.tls: "tls" must be one of off, require, verify-full. Did you mean "require"?'],
  ['tls: off', 'tls: true', '5 systems[0].address.tls: "tls" must be one of off, require, verify-full.'],
  [
    '127.0.0.1, port: 5433, database: orders, tls: off',
    '/run/pg, tls: require',
    '5 systems[0].address.tls: Over a socket folder there is no TLS: leave "tls" out.',
  ],
  ['tls: verify-full', 'tls: off', '13 systems[1].address.caFile: "caFile" has no use with tls: off. Say require or verify-full.'],
  ['connector: redis', 'connector: oracle', '9 systems[1].connector: There is no connector "oracle".'],
  ['name: cache', 'name: orders-db', '8 systems[1].name: There is another system "orders-db", on line 3.', ...noCache()],
  ['file: ./root.secret', 'fil: ./root.secret', `6 systems[0].root.secret: Only one of file, env, prompt may stand here.`, SOURCE(6)],
  ['{ file: ./root.secret }', 's3cr3t', SOURCE(6)],
  ['{ file: ./root.secret }', '{ s3cr3t }', '6 systems[0].root.secret: Only one of file, env, prompt may stand here.', SOURCE(6)],
  ['{ file: ./root.secret }', '{ file: a, env: B }', SOURCE(6)],
  ['{ file: ./root.secret }', '{ prompt: false }', '6 systems[0].root.secret.prompt: "prompt" must be true.'],
  ['env: CACHE_ROOT', 'env: s3cr3t-x', '14 systems[1].root.secret.env: "env" must be the name of an environment variable.'],
  [
    'account: rekey_root',
    'account: reserved',
    '6 systems[0].root.account: "account" cannot be an account of this system: The name is too long or reserved.',
  ],
  ['owner: team-orders, ', '', '16 identities[0]: "owner" is missing: an identity that nobody answers for is an orphan.'],
  ['purpose: serves orders, ', '', '16 identities[0]: "purpose" is missing: an identity without a purpose is an orphan.'],
  ['purpose: serves orders', 'purpose: ""', '16 identities[0].purpose: "purpose" is empty.'],
  ['purpose: serves orders', 'purpose: ', '16 identities[0].purpose: "purpose" is empty: give it a value or leave the key out.'],
  ['owner: team-orders', 'owner: " x"', '16 identities[0].owner: "owner" begins or ends with a space.'],
  ['owner: team-orders', 'owner: person:ken', '16 identities[0].owner: "owner" is a name alone here, without person: or team:.'],
  ['owner: team-orders', 'owner: "a\\nb"', INVISIBLE('16 identities[0].owner')],
  ['owner: team-orders', 'owner: "a\\u202eb"', INVISIBLE('16 identities[0].owner')],
  ['owner: team-orders', 'owner: 12', '16 identities[0].owner: "owner" must be text: put quotes around it.'],
  ['owner: team-orders', `owner: ${'x'.repeat(201)}`, '16 identities[0].owner: "owner" is longer than 200 characters.'],
  ['kind: workload', 'kind: robot', '16 identities[0].kind: "kind" must be one of human, workload, machine, agent.'],
  [
    '    identity: orders-api\n    system: cache',
    '    system: cache',
    '35 credentials[2]: "identity" is missing: a credential without an identity is an orphan.',
  ],
  [
    'identity: orders-api\n    system: cache',
    'identity: order-api\n    system: cache',
    '36 credentials[2].identity: The identity "order-api" is not declared in this file. Did you mean "orders-api"?',
  ],
  ['system: cache', 'system: cash', '37 credentials[2].system: The system "cash" is not declared in this file. Did you mean "cache"?'],
  [
    'name: orders-api@cache',
    'name: orders-job@orders-db',
    '35 credentials[2].name: There is another credential "orders-job@orders-db", on line 28.',
  ],
  ['strategy: dual', 'strategy: in-place', '39 credentials[2].strategy: The connector "redis" does not offer in-place. It offers dual.'],
  [
    'account: orders_api',
    'account: rekey_root',
    '21 credentials[0].account: "rekey_root" is the root account of the system. Rekey rotates it with: rekey system rotate-root.',
  ],
  [
    'account: orders_api',
    'account: orders_b',
    '31 credentials[1].accounts[1]: The account "orders_b" of this system is already declared on line 21.',
  ],
  [
    'account: orders_api',
    `account: ${'x'.repeat(64)}`,
    '21 credentials[0].account: "account" cannot be an account of this system: The name is too long or reserved.',
  ],
  ['account: orders_api', 'account: "a\\u0000b"', INVISIBLE('21 credentials[0].account')],
  ['account: orders_api\n', 'accounts: [x, y]\n', '21 credentials[0].accounts: "account" is missing: in-place works on one account.'],
  [
    'account: orders_api\n',
    'account: z\n    accounts: [x, y]\n',
    '22 credentials[0].accounts: Give either "account" or "accounts", not both.',
  ],
  ['    account: orders_api\n', '', '18 credentials[0]: "account" is missing: in-place works on one account.'],
  [
    'accounts: [orders_a, orders_b]',
    'account: x',
    '28 credentials[1]: "accounts" is missing: alternating needs two, as in [orders_a, orders_b].',
  ],
  ['accounts: [orders_a, orders_b]', 'accounts: [x]', '31 credentials[1].accounts: "accounts" must name exactly two accounts.'],
  [
    'accounts: [orders_a, orders_b]',
    'accounts: [x, x]',
    '31 credentials[1].accounts[1]: The account "x" of this system is already declared on line 31.',
  ],
  ['accounts: [orders_a, orders_b]', 'accounts: x', '31 credentials[1].accounts: "accounts" must be a list.'],
  ['every: 30d', 'every: 30', '24 credentials[0].rotate.every: "every" must be a whole number with a unit: 30s, 10m, 12h, 30d or 2w.'],
  ['every: 30d', 'every: 0s', '24 credentials[0].rotate.every: "every" must be from 1s to 3650d.'],
  ['grace: 10m', 'grace: 366d', '24 credentials[0].rotate.grace: "grace" must be from 0s to 365d.'],
  ['current: { prompt: true }', 'current:', '40 credentials[2].current: "current" must be a mapping (key: value).'],
  [
    'name: orders-api-2',
    'name: orders-api-1',
    '27 credentials[0].consumers[1].name: There is another consumer of this credential "orders-api-1", on line 26.',
  ],
  [
    'name: orders-api-2, identity: orders-api',
    'name: orders-api-2, identity: orders-app',
    '27 credentials[0].consumers[1].identity: The identity "orders-app" is not declared in this file. Did you mean "orders-api"?',
  ],
  [
    'name: orders-api-2, identity: orders-api',
    'name: orders-api-2, identity: 7',
    '27 credentials[0].consumers[1].identity: "identity" must be text: put quotes around it.',
  ],
  [
    'activation: none',
    'activation: maybe',
    '34 credentials[1].consumers[0].activation: "activation" must be one of session, report, none.',
  ],
  [
    'key: DB_PASSWORD',
    'key: 1x',
    '26 credentials[0].consumers[0].file.key: "key" must begin with a letter or _ and hold only letters, digits, _ and dots.',
  ],
  ['key: CACHE_PASSWORD', 'key: DB_PASSWORD', TWICE('42 credentials[2].consumers[0].file.path', 'The key "DB_PASSWORD" of this file', 26)],
  [
    './orders.env, key: CACHE_PASSWORD',
    'orders.env, key: DB_PASSWORD',
    TWICE('42 credentials[2].consumers[0].file.path', 'The key "DB_PASSWORD" of this file', 26),
  ],
  [', key: CACHE_PASSWORD', '', TWICE('42 credentials[2].consumers[0].file.path', 'This file', 26)],
  // Of an alternating pair the account is written beside the value: a key of its own.
  [
    '- { name: job, file: { path: ./job.secret }, activation: none }',
    `- { name: job, file: { path: ./job.env, key: DB }, activation: none }
      - { name: two, file: { path: ./job.env, key: DB_ACCOUNT }, activation: none }`,
    TWICE('35 credentials[1].consumers[1].file.path', 'The key "DB_ACCOUNT" of this file', 34),
  ],
  ['path: ./job.secret', 'path: root.secret', TWICE('34 credentials[1].consumers[0].file.path', 'This file', 6)],
  [
    'activation: report',
    'activation: session',
    '42 credentials[2].consumers[0].activation: A session on redis does not tell the new value from the old under dual: use report.',
  ],
]

function missingSystems(): string[] {
  return ['orders-db', 'orders-db', 'cache'].map(
    (name, i) => `${[20, 30, 37][i]} credentials[${i}].system: The system "${name}" is not declared in this file.`,
  )
}
function noCache(): string[] {
  return ['37 credentials[2].system: The system "cache" is not declared in this file.']
}
function HOST(): string {
  return 'must be a host name, an address or a socket folder, without spaces and no URL.'
}
function SOURCE(line: number): string {
  const rule = 'must be exactly one of { file: PATH }, { env: NAME } and { prompt: true }. The value itself never stands in the file.'
  return `${line} systems[0].root.secret: "secret" ${rule}`
}
function INVISIBLE(where: string): string {
  return `${where}: "${where.split('.').at(-1)}" holds a line break, a control character or an invisible one.`
}
function TWICE(where: string, what: string, line: number): string {
  return `${where}: ${what} is already used on line ${line}: one would overwrite the other. Leave "file" out of one of them.`
}

test.each(CASES)('%j -> %j is refused with its line', (find, replacement, ...expected) => {
  expect(broken(find, replacement)).toEqual(expected)
})
