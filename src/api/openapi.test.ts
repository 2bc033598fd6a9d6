import { afterAll, beforeAll, expect, test } from 'vitest'
import { ERRORS } from '../kernel/index.ts'
import { ROUTES } from './routes/index.ts'
import { TestServer } from './testing.ts'

const DOCUMENT = new URL('../../docs/openapi.json', import.meta.url).pathname

let server: TestServer
let document: Document
beforeAll(async () => {
  server = await TestServer.start()
  document = (await server.get('/v1/openapi.json')).body
})
afterAll(async () => {
  await server.stop()
})

interface Document {
  readonly openapi: string
  readonly info: { readonly version: string }
  readonly paths: Record<string, Record<string, Operation>>
}
interface Operation {
  readonly summary: string
  readonly responses: Record<string, { readonly description: string; readonly content?: Record<string, unknown> }>
  readonly security?: readonly unknown[]
}

test('docs/openapi.json is what the server says of itself (after a change: run this test with -u)', async () => {
  await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot(DOCUMENT)
})

test('it is OpenAPI 3.1 and knows every route, with its statuses and whether it needs a token', () => {
  expect(document.openapi).toBe('3.1.0')
  for (const { method, path, answers, problems, action } of ROUTES) {
    const operation = document.paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()]
    expect(operation?.summary).toMatch(/^[A-Z].*\.$/)
    const declared = [...Object.keys(answers), ...problems.map((code) => String(ERRORS[code].status))]
    expect(Object.keys(operation?.responses ?? {})).toEqual(expect.arrayContaining(declared))
    expect(operation?.security).toEqual(action === null ? [] : undefined)
    if (action !== null) expect(operation?.responses['401']?.content).toHaveProperty('application/problem+json')
  }
  expect(Object.values(document.paths).flatMap((methods) => Object.keys(methods))).toHaveLength(ROUTES.length)
})

test('every reference in it leads somewhere', () => {
  const text = JSON.stringify(document)
  const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map((match) => match[1] ?? '')
  expect(references.length).toBeGreaterThan(10)
  for (const path of references) {
    const at = path.split('/').reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], document)
    expect(at, path).toBeDefined()
  }
})
