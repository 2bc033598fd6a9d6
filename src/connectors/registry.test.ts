import { expect, test } from 'vitest'
import { CONNECTORS, connectorFor } from './registry.ts'

test('every connector is found by the name that it gives itself', () => {
  expect([...CONNECTORS.keys()]).toEqual(['postgres', 'mariadb', 'redis'])
  for (const [name, connector] of CONNECTORS) {
    expect(connectorFor(name)).toBe(connector)
    expect(connector.describe().strategies).toContain(connector.describe().rootStrategy)
  }
})

test.each(['', 'oracle', 'Postgres', '__proto__', 'constructor'])('%j is no connector', (name) => {
  expect(() => connectorFor(name)).toThrow(expect.objectContaining({ code: 'target_unsupported' }))
})
