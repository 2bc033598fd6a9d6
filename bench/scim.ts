/**
 * SCIM over HTTP: users made and changed, members put into a group one by one. The floor is what no directory can do without: one
 * request that writes nothing, and one row with a commit, on the same server and the same database.
 */
import { Provider } from '../src/api/routes/scim/testing.ts'
import { TestServer } from '../src/api/testing.ts'
import { stopServer } from '../test/lab/database.ts'
import { report, timed } from './report.ts'

const USERS = Number(process.argv[2] ?? 2_000)
const AT_ONCE = 8

/** Per second, `AT_ONCE` at a time. */
async function rate(count: number, work: (n: number) => Promise<unknown>): Promise<number> {
  let next = 0
  const took = await timed(async () => {
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (next < count) await work(next++)
      }),
    )
  })
  return count / (took / 1000)
}

function must(status: number) {
  return (answer: { status: number; text: string }) => {
    if (answer.status !== status) throw new Error(`${answer.status}: ${answer.text}`)
  }
}

async function main(): Promise<void> {
  const server = await TestServer.start({ requestsPerMinute: 1e9 })
  const { store } = server.db
  const idp = await Provider.add(server, 'bench')
  await store.query('create table floor (id int primary key, body jsonb)')
  const body = JSON.stringify({ userName: 'somebody', emails: [{ value: 'somebody@example.com' }] })
  const floor = await rate(USERS, (n) => store.inTx((tx) => tx.query('insert into floor values ($1, $2)', [n, body])))
  const request = await rate(USERS, () => idp.get('/ServiceProviderConfig').then(must(200)))
  const ids: string[] = []
  const user = (n: number) => ({
    externalId: `x${n}`,
    displayName: `Person ${n}`,
    name: { givenName: 'Person', familyName: `${n}` },
    emails: [{ value: `u${n}@example.com`, type: 'work', primary: true }],
  })
  const create = await rate(USERS, async (n) => ids.push(await idp.user(`u${n}@example.com`, user(n))))
  const patch = (path: string, value: unknown) => (n: number) =>
    idp.patch(`/Users/${ids[n]}`, { op: 'replace', path, value }).then(must(200))
  const title = await rate(USERS, patch('title', 'Engineer'))
  const leave = await rate(Math.min(500, USERS), patch('active', false))
  const find = await rate(USERS, (n) => idp.find('/Users', `userName eq "u${n}@example.com"`).then(must(200)))
  const group = await idp.group('everybody')
  const join = (n: number) => idp.patch(`/Groups/${group}`, { op: 'add', path: 'members', value: [{ value: ids[n] }] }).then(must(204))
  const half = Math.floor(USERS / 2)
  const first = await rate(half, join)
  const second = await rate(USERS - half, (n) => join(half + n))
  const per = (value: number) => `${value.toFixed(0)}/s`
  report(`scim, ${USERS} users, ${AT_ONCE} at a time`, {
    'floor: one row and a commit': per(floor),
    'floor: a request that writes nothing': per(request),
    'create a user': per(create),
    'ratio to both floors in a row': (create * (1 / floor + 1 / request)).toFixed(2),
    'PATCH one attribute of a user': per(title),
    'PATCH active false (suspended, offboarding scheduled)': per(leave),
    'find by userName': per(find),
    [`PATCH one member into a group, up to ${half}`]: per(first),
    [`the same, from ${half} to ${USERS}`]: per(second),
  })
  await server.stop()
  await stopServer()
}

await main()
process.exit(0)
