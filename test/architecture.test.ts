/**
 * The import table of ARCHITECTURE.md ("Imports point downhill") and the other rules about who may touch what, as tests.
 * Tests beside the code (`*.test.ts`, and their helpers, `testing.ts`) may import anything; no product code may import them.
 */
import type { Node } from 'typescript/unstable/ast'
import { expect, test } from 'vitest'
import { ACTIONS, factsOf } from '../src/policy/index.ts'
import { cyclesIn } from './cycles.ts'
import { readsEnvironment, readsTime, touchesCrypto } from './forbidden.ts'
import { type Import, importsOf, lineOf, type Source, sources, textFiles, textOf, visit } from './source.ts'
import { TABLE_OWNERS, tablesIn, tablesNamed } from './tables.ts'
import exceptions from './tidy.exceptions.json' with { type: 'json' }

const GROUND = ['kernel', 'seal', 'evidence', 'policy', 'store', 'keys', 'src/connectors/contract.ts']
const DOMAIN = ['identity', 'credential', 'handoff', 'migration', 'custody', 'recovery']

/**
 * Area → what its files may import of ours besides their own area. An area name stands for its index.ts; a path for that file;
 * `type …` permits `import type` alone, `dynamic …` permits `import()` as well as types.
 */
const MAY: Record<string, readonly string[]> = {
  kernel: [],
  seal: ['kernel'],
  store: ['kernel'],
  evidence: ['kernel', 'type store', 'type src/store/tx.ts'],
  policy: ['kernel', 'type store', 'type src/store/tx.ts'],
  // The keyring: which key-encryption key wraps what. It records its events, so it stands on evidence.
  keys: ['kernel', 'seal', 'evidence', 'store'],
  connectors: ['kernel', 'seal'],
  identity: [...GROUND],
  credential: [...GROUND, 'identity'],
  handoff: [...GROUND, 'identity', 'credential'],
  migration: [...GROUND, 'identity', 'credential'],
  custody: [...GROUND, 'identity', 'credential'],
  recovery: [...GROUND, 'identity', 'credential', 'handoff', 'migration', 'custody'],
  // A route hands the store on to a use case, so it must be able to name its type; it can never call it into being.
  // SCIM and logins have doors of their own: their many names are of use to their routes alone.
  api: [
    'kernel',
    'evidence',
    'policy',
    'keys',
    ...DOMAIN,
    'src/identity/scim/index.ts',
    'src/identity/login/index.ts',
    'type store',
    'type src/store/tx.ts',
  ],
  // The server speaks through the HTTP client; the ground and the fleet parser serve `apply`, `policy test` and the offline commands,
  // main.ts `serve`.
  cli: ['kernel', 'seal', 'evidence', 'policy', 'store', 'identity', 'credential', 'src/config.ts', 'dynamic src/main.ts'],
  'src/config.ts': ['kernel'],
  'src/datafolder.ts': ['kernel', 'keys', 'type store', 'src/config.ts'],
  'src/log.ts': ['kernel'],
}

/** Libraries that only one place may use, so that replacing one is a change in one place. */
const LIBRARY_HOMES: Record<string, readonly string[]> = {
  pg: ['src/store/', 'src/connectors/postgres/'],
  mysql2: ['src/connectors/mariadb/'],
  redis: ['src/connectors/redis/'],
  fastify: ['src/api/'],
  commander: ['src/cli/'],
  nodemailer: ['src/identity/'],
  '@cedar-policy': ['src/policy/'],
  'openid-client': ['src/identity/'],
  jose: ['src/identity/'],
  '@simplewebauthn': ['src/identity/login/'],
}

const all = sources()
const code = all.filter((source) => source.path.startsWith('src/') && !isTest(source.path))

function isTest(path: string): boolean {
  return /(\.test|\/testing)\.ts$/.test(path)
}

/** The folder under src/, or the path itself for a file directly in src/. */
function areaOf(path: string): string {
  const parts = path.split('/')
  return parts.length > 2 ? (parts[1] ?? path) : path
}

/** Why this import is against the table, or null. */
function fault(from: string, edge: Import): string | null {
  if (edge.specifier === '') return 'imports something computed: name the module'
  const to = edge.path
  if (to === null) return null
  if (isTest(to)) return 'product code imports no test'
  if (!to.startsWith('src/')) return to === 'package.json' ? null : 'src/ imports nothing outside src/'
  const area = areaOf(from)
  if (from === 'src/main.ts') return null
  if (area === areaOf(to)) return insideArea(from, to)
  const may = MAY[area]
  if (!may) return `area '${area}' is not in the table of test/architecture.test.ts`
  const names = to === `src/${areaOf(to)}/index.ts` ? [to, areaOf(to)] : [to]
  const permitted = names.some(
    (name) =>
      may.includes(name) ||
      (edge.how === 'type' && (may.includes(`type ${name}`) || may.includes(`dynamic ${name}`))) ||
      (edge.how === 'dynamic' && may.includes(`dynamic ${name}`)),
  )
  if (permitted) return null
  const throughIndex = may.includes(areaOf(to)) ? ': go through its index.ts' : ''
  return `${area} may not import ${to}${throughIndex}`
}

/** One connector never leans on another: what they share lies directly in src/connectors/. */
function insideArea(from: string, to: string): string | null {
  const [, , ownFolder] = from.split('/')
  const inConnector = from.startsWith('src/connectors/') && from.split('/').length > 3
  if (!inConnector || to.split('/').length <= 3 || to.startsWith(`src/connectors/${ownFolder}/`)) return null
  return 'a connector may not import another connector'
}

/** `path:line what`, for every node of the product code (or of `among`) that `judge` objects to. */
function objections(judge: (node: Node, source: Source) => string | null, among: readonly Source[] = code): string[] {
  const found: string[] = []
  for (const source of among) {
    visit(source.tree, (node) => {
      const objection = judge(node, source)
      if (objection) found.push(`${source.path}:${lineOf(source, node)} ${objection}`)
    })
  }
  return found
}

/** By convention a parameter that is not used begins with `_`: such a use case checks no thing that it touches. */
test('an action that policy may narrow to single things is checked on them by its use case', () => {
  const unchecked = code.flatMap(({ path, text }) =>
    [...text.matchAll(/_may: Allowed<([^>]*)>/g)].flatMap(([, named = '']) =>
      ACTIONS.filter((action) => named.includes(`'${action}'`) && factsOf(action).on.length > 0).map((action) => `${path}: ${action}`),
    ),
  )
  expect(unchecked).toEqual([])
  expect(code.some(({ text }) => text.includes("_may: Allowed<'inventory:read'>"))).toBe(true)
})

test('imports point downhill', () => {
  expect(code.length).toBeGreaterThan(10)
  const faults = code.flatMap((source) =>
    importsOf(source).flatMap((edge) => {
      const why = fault(source.path, edge)
      return why ? [`${source.path}:${edge.line} ${why}`] : []
    }),
  )
  expect(faults).toEqual([])
})

test('the table itself refuses what it must refuse', () => {
  const tried = (from: string, to: string, how: Import['how'] = 'static') => fault(from, { specifier: './x.ts', path: to, how, line: 1 })
  const refused: [string, string, Import['how']?][] = [
    ['src/kernel/ctx.ts', 'src/seal/index.ts'],
    ['src/seal/a.ts', 'src/store/index.ts', 'type'],
    ['src/evidence/a.ts', 'src/store/index.ts'],
    ['src/evidence/a.ts', 'src/store/pool.ts', 'type'],
    ['src/connectors/postgres/a.ts', 'src/store/index.ts', 'type'],
    ['src/connectors/postgres/a.ts', 'src/credential/index.ts'],
    ['src/connectors/postgres/a.ts', 'src/connectors/redis/index.ts'],
    ['src/identity/a.ts', 'src/credential/index.ts', 'type'],
    ['src/handoff/a.ts', 'src/custody/index.ts'],
    ['src/credential/a.ts', 'src/identity/store.ts'],
    ['src/credential/a.ts', 'src/connectors/postgres/index.ts'],
    ['src/api/routes/x/a.ts', 'src/credential/store.ts'],
    ['src/api/routes/x/a.ts', 'src/connectors/contract.ts', 'type'],
    ['src/api/server.ts', 'src/store/index.ts'],
    ['src/cli/main.ts', 'src/main.ts'],
    ['src/cli/main.ts', 'src/api/server.ts'],
    ['src/cli/main.ts', 'src/credential/store.ts'],
    ['src/credential/a.ts', 'test/lab/postgres.ts'],
    ['src/credential/a.ts', 'src/credential/a.test.ts'],
    ['src/novelty/a.ts', 'src/kernel/index.ts'],
  ]
  for (const [from, to, how] of refused) expect(tried(from, to, how), `${from} → ${to}`).not.toBeNull()
  expect(tried('src/api/server.ts', 'src/store/index.ts', 'type')).toBeNull()
  expect(tried('src/cli/commands/serve.ts', 'src/main.ts', 'dynamic')).toBeNull()
  expect(tried('src/recovery/a.ts', 'src/custody/index.ts')).toBeNull()
  expect(tried('src/connectors/postgres/a.ts', 'src/connectors/contract.ts', 'type')).toBeNull()
})

test('no import cycles, type imports included', () => {
  const edges = new Map(all.map((source) => [source.path, importsOf(source).flatMap((edge) => edge.path ?? [])]))
  expect(cyclesIn(edges).map((cycle) => cycle.join(' → '))).toEqual([])
})

test('a library has one home', () => {
  const faults = code.flatMap((source) =>
    importsOf(source).flatMap((edge) => {
      const homes = LIBRARY_HOMES[edge.specifier.split('/')[0] ?? '']
      const strays = homes && !homes.some((home) => source.path.startsWith(home)) && source.path !== 'src/main.ts'
      return strays ? [`${source.path}:${edge.line} ${edge.specifier} belongs to ${homes.join(', ')}`] : []
    }),
  )
  expect(faults).toEqual([])
})

test('only config.ts reads the environment', () => {
  const found = objections((node, source) => (source.path !== 'src/config.ts' && readsEnvironment(node) ? 'reads process.env' : null))
  expect(found).toEqual([])
})

test('only kernel/clock.ts reads the time', () => {
  const needed = new Set<string>()
  const found = objections((node, source) => {
    if (source.path === 'src/kernel/clock.ts' || !readsTime(node)) return null
    if (source.path in exceptions.clock) {
      needed.add(source.path)
      return null
    }
    return `reads the time (${node.getText().slice(0, 40)}): use ctx.clock`
  })
  expect(found).toEqual([])
  expect(Object.keys(exceptions.clock), 'an exception that is no longer needed').toEqual([...needed].sort())
})

test('only seal/ and evidence/ touch cryptographic primitives', () => {
  const needed = new Set<string>()
  const found = code.flatMap((source) => {
    if (/^src\/(seal|evidence)\//.test(source.path)) return []
    if (!touchesCrypto(source)) return []
    if (!(source.path in exceptions.crypto)) return [source.path]
    needed.add(source.path)
    return []
  })
  expect(found).toEqual([])
  expect(Object.keys(exceptions.crypto), 'an exception that is no longer needed').toEqual([...needed].sort())
})

const tables = textFiles('schema')
  .filter((path) => /\/\d+_.*\.sql$/.test(path))
  .flatMap((path) => tablesIn(textOf(path)))

test('every table has an owner on the list, and the list no others', () => {
  expect(Object.keys(TABLE_OWNERS).sort()).toEqual([...tables].sort())
})

test('only its owner speaks to a table', () => {
  expect(code.flatMap((source) => tablesNamed(source, tables)).length).toBeGreaterThan(10)
  const faults = code.flatMap((source) =>
    tablesNamed(source, tables).flatMap(({ table, line }) => {
      const owner = TABLE_OWNERS[table]
      return areaOf(source.path) === owner ? [] : [`${source.path}:${line} speaks to ${table}, which belongs to ${owner}`]
    }),
  )
  expect(faults).toEqual([])
})
