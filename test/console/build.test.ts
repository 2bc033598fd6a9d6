import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { apiTypes } from '../../scripts/api-types.ts'
import { ROOMS } from '../../src/api/console.ts'
import { buildConsole } from '../../src/cli/console.ts'
import { ROOT, textFiles, textOf } from '../source.ts'

test('a build is made once, and nothing in it is inline or from elsewhere', async () => {
  const said: string[] = []
  expect(['fresh', 'built']).toContain(await buildConsole((line) => void said.push(line)))
  expect(await buildConsole((line) => void said.push(line))).toBe('fresh')
  const page = readFileSync(join(ROOT, 'console/dist/index.html'), 'utf8')
  expect(page).not.toMatch(/<style|style=|<script(?![^>]*\bsrc=)|\bon\w+=/)
  const addresses = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1])
  expect(addresses.length).toBeGreaterThan(2)
  for (const address of addresses) expect(address).toMatch(/^\/console\/assets\/[\w-]+-[\w-]{8,}\.(js|css|svg)$/)
})

test('the server has the rooms that the router of the console has', () => {
  const routes = [...textOf('console/routes.tsx').matchAll(/path: '([^']+)'/g)].map((match) => (match[1] ?? '').replaceAll('$', ':'))
  expect(routes.length).toBeGreaterThan(8)
  expect([...routes].sort()).toEqual([...ROOMS].sort())
})

test('the console imports nothing of the rest, and no page asks for anything but through the client', () => {
  const files = textFiles('console').filter((path) => /\.tsx?$/.test(path))
  expect(files.length).toBeGreaterThan(30)
  for (const path of files) {
    const text = textOf(path)
    for (const [, specifier] of text.matchAll(/from '(\.[^']*)'/g)) {
      expect(join(path, '..', specifier ?? ''), path).toMatch(/^console\//)
    }
    if (path !== 'console/api/client.ts') expect(text, path).not.toMatch(/\bfetch\(|XMLHttpRequest|EventSource|WebSocket|sendBeacon/)
    expect(text, path).not.toMatch(/dangerouslySetInnerHTML|innerHTML|\beval\(|new Function|style=\{|https?:\/\/(?!localhost)/)
  }
})

test('types of an operation are what its document says', () => {
  const types = apiTypes({
    paths: {
      '/v1/things/{id}': {
        post: {
          parameters: [
            { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
            { name: 'limit', in: 'query', schema: { type: 'integer' } },
          ],
          requestBody: { content: { 'application/json': { schema: { type: 'object', properties: { a: { type: ['string', 'null'] } } } } } },
          responses: {
            200: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Thing' } } } },
            404: { content: { 'application/json': { schema: { type: 'boolean' } } } },
          },
        },
      },
      '/healthz': { get: { responses: { 200: {} } } },
    },
    components: {
      schemas: {
        Thing: {
          type: 'object',
          required: ['kind'],
          properties: { kind: { enum: ['a', 'b'] }, of: { $ref: '#/components/schemas/Part' } },
        },
        Part: { type: 'array', items: { anyOf: [{ type: 'number' }, { const: 'x' }] } },
        Unused: { type: 'string' },
      },
    },
  })
  const lines = [
    "  'POST /v1/things/{id}': {",
    '    params: { id: string }',
    '    query: { limit?: number }',
    '    body: { a?: string | null }',
  ]
  expect(types).toContain([...lines, '    answer: Thing'].join('\n'))
  expect(types).toContain('export type Thing = { kind: "a" | "b"; of?: Part }')
  expect(types).toContain('export type Part = (number | "x")[]')
  expect(types).not.toMatch(/Unused|healthz|boolean/)
  expect(() =>
    apiTypes({ paths: { '/v1/x': { get: { responses: { 200: { content: { 'application/json': { schema: { type: 'new' } } } } } } } } }),
  ).toThrow('type new')
})
