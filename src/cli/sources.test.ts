import { expect, test } from 'vitest'
import { checkDeclared, declaredSources } from './sources.ts'

const FLEET = `version: 1
systems:
  - { name: a, address: { caFile: ca.pem }, root: { account: r, secret: { file: ./root.secret } } }
credentials:
  - { name: c, current: { env: C_SECRET }, consumers: [{ name: n, file: { path: ./out.env, key: K } }] }
  - { name: d, current: { file: "/abs/../d.secret" } }
`
const declared = declaredSources(FLEET, '/etc/fleet')

test('what a fleet file names is found, with absolute paths', () => {
  expect([...declared.files].sort()).toEqual(['/d.secret', '/etc/fleet/ca.pem', '/etc/fleet/root.secret'])
  expect([...declared.variables]).toEqual(['C_SECRET'])
})

test('what the file names may be asked for', () => {
  expect(() =>
    checkDeclared(declared, [{ file: '/etc/fleet/root.secret' }, { env: 'C_SECRET' }, { prompt: true }], ['/etc/fleet/ca.pem']),
  ).not.toThrow()
})

test.each([
  [[{ file: '/etc/shadow' }], []],
  [[{ file: '/etc/fleet/out.env' }], []],
  [[{ file: '/etc/fleet/../shadow' }], []],
  [[{ env: 'AWS_SECRET_ACCESS_KEY' }], []],
  [[], ['/root/.ssh/id_ed25519']],
])('a server that asks for %j %j is refused', (needed, authorities) => {
  expect(() => checkDeclared(declared, needed, authorities)).toThrow(expect.objectContaining({ code: 'forbidden' }))
})

test('a file that is no mapping names nothing', () => {
  expect(declaredSources('', '/')).toEqual({ files: new Set(), variables: new Set() })
})
