/** What somebody may not see, no list and no cursor tells of. Black box, from the attempts of an attacker. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId } from '../kernel/index.ts'
import { Visitor } from './routes/login/testing.ts'
import { type Asker, done, People } from './routes/tokens/testing.ts'

const POLICY = `@id("p") permit(principal in Role::"test-reader", action in [Action::"identity:read", Action::"identity:join"], resource)
  when { resource is Installation || (resource has environment && resource.environment == "test") };`

let people: People
/** May read the identities of environment `test`. */
let reader: Asker
beforeAll(async () => {
  people = await People.start()
  const { id, digest } = await people.made('/v1/policies', { files: [{ name: 'test.cedar', text: POLICY }], reason: 'testing' })
  await people.made(`/v1/policies/${id}/bypass`, { reason: 'nobody is here to approve', digest })
  await people.made('/v1/identities', { name: 'zoe', kind: 'human' })
  const made = (name: string, environment: string) =>
    people.made('/v1/identities', { name, kind: 'workload', owner: 'zoe', purpose: 'falcon', environment, labels: { tier: environment } })
  for (const n of ['prod-vault-root', 'prod-db-master', 'prod-db-replica']) await made(n, 'prod')
  for (const n of ['a-test', 'prod-like-test', 'z-test']) await made(n, 'test')
  reader = await people.token(people.server, 'reader', ['test-reader'])
}, 60_000)
afterAll(() => people.stop())

test.each([
  'prefix=prod-vault',
  'prefix=prod-d',
  'prefix=p',
  'prefix=q',
  'environment=prod',
  'environment=nope',
  'owner=zoe',
  'owner=nobody',
  'kind=human',
  'kind=workload',
  'label=tier%3Dprod',
  'label=tier%3Dnope',
  'status=suspended',
])('identities by %s, one at a time: the pages are those of what may be seen', async (query) => {
  const whole = done(await reader.get(`/v1/identities?${query}`))
  const names = whole.items.map((one: { name: string }) => one.name)
  expect(whole.next).toBeNull()
  expect(names.every((name: string) => name.endsWith('-test'))).toBe(true)
  const paged: string[] = []
  let after: string | null = null
  do {
    const { items, next }: { items: { name: string }[]; next: string | null } = done(
      await reader.get(`/v1/identities?limit=1&${query}${after === null ? '' : `&after=${encodeURIComponent(after)}`}`),
    )
    // Never empty but where there is nothing at all, and never with a next but where there is more.
    expect(items).toHaveLength(Math.min(1, names.length - paged.length))
    paged.push(...items.map(({ name }) => name))
    after = next
  } while (after !== null)
  expect(paged).toEqual(names)
})

test('sessions and passkeys of somebody else look the same, however many there are', async () => {
  const [joe, root] = [await people.person('joe'), await people.person('root')]
  await people.login(new Visitor(people.server), 'root')
  for (const list of ['sessions', 'passkeys', 'tokens']) {
    const of = async (id: string) => (await joe.get(`/v1/${list}?limit=1&identity=${id}`)).text
    expect(await of(root.id)).toBe(await of(newId()))
  }
  expect(done(await joe.get(`/v1/sessions?limit=1&identity=${joe.id}`)).items).toHaveLength(1)
})

test('what is not yours is answered in the bytes of what is not there', async () => {
  const told = async (name: string) => {
    const { status, text } = await reader.get(`/v1/identities/${name}`)
    return [status, text.replaceAll(name, 'NAME')]
  }
  expect(await told('prod-vault-root')).toEqual(await told('prod-vault-rooX'))
  const { id } = done(await people.server.get('/v1/identities/prod-vault-root'))
  expect(await told(id)).toEqual(await told(newId()))
})
