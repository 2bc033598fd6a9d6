/** The open-source conformance tester against the real server. Named as skipped where it cannot be had. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runScimTester, scimTester } from '../../test/lab/scim.ts'
import { TestServer } from './testing.ts'

const tester = scimTester()
if ('missing' in tester) console.warn(`skipped, since ${tester.missing}: src/api/scim.conformance.test.ts`)

let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterAll(() => server.stop())

test.skipIf('missing' in tester)(
  'scim2-tester has no objection',
  async () => {
    const { token } = (await server.post('/v1/scim/providers', { name: 'tester' })).body
    const python = 'python' in tester ? tester.python : ''
    const { checks, errors } = await runScimTester(python, `${server.url}/scim/v2`, token)
    const counts = Object.fromEntries([...Map.groupBy(checks, ({ status }) => status)].map(([status, some]) => [status, some.length]))
    console.info(`scim2-tester: ${JSON.stringify(counts)}`)
    const good = ['SUCCESS', 'COMPLIANT', 'ACCEPTABLE', 'SKIPPED']
    expect(
      checks.filter(({ status }) => !good.includes(status)),
      errors,
    ).toEqual([])
    // With its discovery failing it would check next to nothing.
    expect(checks.length).toBeGreaterThan(50)
    expect(checks.filter(({ status }) => status === 'SKIPPED').map(({ title }) => title)).toEqual([])
    expect(server.undeclared()).toEqual([])
  },
  180_000,
)
