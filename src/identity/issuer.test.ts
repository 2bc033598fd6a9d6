import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LabIssuer, labKey, svidClaims } from '../../test/lab/issuer.ts'
import {
  AUDIENCE,
  ahead,
  anotherLab,
  at,
  claims,
  ctx,
  db,
  join,
  lab,
  logged,
  map,
  may,
  setUp,
  show,
  trust,
  usual,
  why,
} from '../../test/lab/proofs.ts'
import { AddressGuard, isCode, newId } from '../kernel/index.ts'
import { type IssuerInput, type RuleInput, removeIssuer, suspendIdentity, unmapIssuer, weakRules } from './index.ts'
import { overlaps, type RuleFields, ruleFor } from './issuer.model.ts'

setUp()

test('no rule, two rules, a rule taken back, an issuer removed: nobody, from the next token on', async () => {
  const id = await usual()
  const text = await lab.sign(claims({ team: 'shop' }))
  expect(await show(text)).toMatchObject({ id })
  await unmapIssuer(db.store, ctx, may, 'ci', await ruleId())
  const [first, second] = [await map({ claims: { sub: 'orders', team: 'shop' } }), await map({ claims: { sub: 'orders', stage: 'prod' } })]
  expect(await show(text)).toMatchObject({ id })
  expect(await show(await lab.sign(claims({ team: 'shop', stage: 'prod' })))).toBeNull()
  expect(why().at(-1)).toBe('several rules for the subject')
  await unmapIssuer(db.store, ctx, may, 'ci', second)
  expect(await show(await lab.sign(claims({ team: 'shop', stage: 'prod' })))).toMatchObject({ id })
  await unmapIssuer(db.store, ctx, may, 'ci', first)
  expect(await show(text)).toBeNull()
  await map({})
  expect(await show(text)).toMatchObject({ id })
  await db.store.inTx((tx) => suspendIdentity(tx, ctx, id, 'tests'))
  expect(await show(text)).toBeNull()
  await db.store.query("update identity set status = 'active'")
  await removeIssuer(db.store, ctx, may, 'ci', 'tests')
  expect(await show(text)).toBeNull()
  expect(await db.store.query('select 1 from issuer_rule')).toEqual([])
})

const ruleId = async () => (await db.store.query<{ id: string }>('select id from issuer_rule'))[0]?.id ?? ''

test('a rule that overlaps another of its issuer is refused at once, whoever it is for', async () => {
  await usual()
  await join('other', 'workload')
  const clash = (error: unknown) => isCode(error, 'conflict')
  await expect(map({})).rejects.toSatisfy(clash)
  await expect(map({ identity: 'other' })).rejects.toSatisfy(clash)
  await expect(map({ claims: { sub: 'orders', team: 'shop' } })).rejects.toSatisfy(clash)
  await map({ claims: {}, prefixes: { sub: 'repo:acme/' } })
  await expect(map({ claims: { sub: 'repo:acme/shop' } })).rejects.toSatisfy(clash)
  await expect(map({ claims: {}, prefixes: { sub: 'repo:acme/shop/' } })).rejects.toSatisfy(clash)
  await expect(map({ claims: {}, prefixes: { sub: 'repo:' } })).rejects.toSatisfy(clash)
  await map({ identity: 'other', claims: { sub: 'repo:other' } })
  await map({ identity: 'other', claims: {}, prefixes: { sub: 'repo:acme-too/' } })
  expect(await db.store.query('select 1 from issuer_rule')).toHaveLength(4)
})

test('rules are said to overlap exactly where one of them leaves nothing to the other that tells them apart', () => {
  const text = fc.constantFrom('a', 'a/', 'a/b', 'a/b/', 'b/')
  const bound = fc.record({ text, prefix: fc.boolean() })
  const rule = fc.dictionary(fc.constantFrom('sub', 'team', 'stage'), bound, { minKeys: 1 }).map((bounds) => {
    const of = (prefix: boolean) =>
      Object.fromEntries(Object.entries(bounds).flatMap(([name, it]) => (it.prefix === prefix ? [[name, it.text]] : [])))
    return { part: 'subject', claims: of(false), prefixes: of(true), scope: null, environments: null, hardware: false } as const
  })
  const values = ['a', 'a/', 'a/b', 'a/b/', 'b/', 'z']
  const tokens = values.flatMap((sub) => values.flatMap((team) => values.map((stage) => ({ sub, team, stage }))))
  const names = ({ claims, prefixes }: RuleFields) => Object.keys({ ...claims, ...prefixes })
  fc.assert(
    fc.property(rule, rule, (one, other) => {
      const both = tokens.some((token) => ruleFor([one, other], 'subject', token) === 'several')
      const within = [[one, other] as const, [other, one] as const].some(([a, b]) => names(a).every((name) => names(b).includes(name)))
      expect(overlaps(one, other)).toBe(both && within)
      expect(overlaps(one, { ...other, part: 'actor' })).toBe(false)
    }),
  )
})

test('a prefix is there only where it was asked for, ends at a border, and is told as a weakness', async () => {
  const id = await join('orders-api', 'workload')
  await trust({ type: 'ci', replay: 'age' })
  await map({ claims: {}, prefixes: { sub: 'repo:acme/shop:' } })
  expect(await show(await lab.sign(claims({ sub: 'repo:acme/shop:ref:refs/heads/main' })))).toMatchObject({ id })
  expect(await show(await lab.sign(claims({ sub: 'repo:acme/shop-evil:ref:refs/heads/main' })))).toBeNull()
  expect(await weakRules(db.store, { after: null, limit: 10 })).toMatchObject([
    { issuer: 'ci', weak: true, prefixes: { sub: 'repo:acme/shop:' } },
  ])
})

const BAD_RULES: readonly [string, Partial<RuleInput>][] = [
  ['no claim', { claims: {} }],
  ['neither sub nor enough', { claims: { environment: 'prod' } }],
  ['a repository alone', { claims: { repository: 'acme/shop' } }],
  ['an empty value', { claims: { sub: '' } }],
  ['an empty prefix', { claims: {}, prefixes: { sub: '' } }],
  ['a prefix in the middle of a name', { claims: {}, prefixes: { sub: 'repo:acme' } }],
  ['a prefix and a value', { claims: { sub: 'a:b' }, prefixes: { sub: 'a:' } }],
  ['an empty scope', { scope: [] }],
  ['an unknown action', { scope: ['everything:do'] }],
  ['no environment at all', { environments: [] }],
  ['an agent without limits', { identity: 'bot', actsFor: 'ada' }],
  ['an agent for an agent', { identity: 'bot', actsFor: 'bot', scope: ['rotation:start'], environments: ['prod'] }],
  ['a workload for somebody', { actsFor: 'ada' }],
  ['a workload as an actor', { part: 'actor' }],
  ['an unknown identity', { identity: 'nobody' }],
]

test('rules that say too little, or too much, are refused', async () => {
  await join('orders-api', 'workload')
  await join('ada', 'human')
  await join('bot', 'agent')
  await trust({ type: 'ci' })
  for (const [what, input] of BAD_RULES) {
    await expect(map(input), what).rejects.toSatisfy((error) => isCode(error, 'bad_input') || isCode(error, 'not_found'))
  }
  expect(await db.store.query('select 1 from issuer_rule')).toEqual([])
})

const BAD_ISSUERS: readonly [string, Partial<IssuerInput>][] = [
  ['http', { origin: 'http://issuer.example' }],
  ['no address', { origin: 'issuer.example' }],
  ['a user in the address', { origin: 'https://me@issuer.example' }],
  ['a query', { origin: 'https://issuer.example/?x' }],
  ['no audience', { audience: '' }],
  ['HMAC', { algorithms: ['HS256'] }],
  ['no signature', { algorithms: ['none'] }],
  ['no algorithm', { algorithms: [] }],
  ['keys over http', { keys: { from: 'url', url: 'http://issuer.example/jwks' } }],
  ['keys from a file', { keys: { from: 'url', url: 'file:///etc/passwd' } }],
  ['no keys', { keys: { from: 'inline', jwks: { keys: [] } } }],
  ['a secret key', { keys: { from: 'inline', jwks: { keys: [{ kty: 'oct', k: 'AA' }] } } }],
  ['a private key', { keys: { from: 'inline', jwks: { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AA', d: 'AA' }] } } }],
  ['a trust domain with a scheme', { type: 'spiffe', origin: 'spiffe://example.org', keys: { from: 'url', url: 'https://x.example/b' } }],
  ['a trust domain by discovery', { type: 'spiffe', origin: 'example.org' }],
  [
    'EdDSA in a trust domain',
    { type: 'spiffe', origin: 'example.org', algorithms: ['EdDSA'], keys: { from: 'url', url: 'https://x.example/b' } },
  ],
]

test('issuers that could be anybody are refused', async () => {
  for (const [what, input] of BAD_ISSUERS) await expect(trust(input), what).rejects.toSatisfy((error) => isCode(error, 'bad_input'))
  expect(await db.store.query('select 1 from issuer')).toEqual([])
})

test('a new key is found at once, and many unknown ones cost one look', async () => {
  const id = await usual()
  await show(await lab.sign(claims()))
  expect(lab.asked.jwks).toBe(1)
  const next = await labKey()
  const strangers = await Promise.all(Array.from({ length: 20 }, () => lab.sign(claims(), { kid: newId() })))
  ahead(16_000)
  await Promise.all(strangers.map((text) => show(text)))
  expect(lab.asked.jwks).toBe(2)
  lab.keys = [next, ...lab.keys]
  // Too soon for another look: the stranger's was just there.
  expect(await show(await lab.sign(claims()))).toBeNull()
  ahead(16_000)
  const shown = await Promise.all(Array.from({ length: 5 }, async () => show(await lab.sign(claims()))))
  expect(shown.map((one) => one?.id)).toEqual(Array(5).fill(id))
  expect(lab.asked.jwks).toBe(3)
})

test('a key that was taken away is refused after the time of the issuer, also when it cannot be reached any more', async () => {
  await usual({ keysMaxAgeSeconds: 60 })
  const sign = (
    (key) => () =>
      lab.sign(claims(), {}, key)
  )(lab.keys[0])
  expect(await show(await sign())).not.toBeNull()
  lab.keys = [await labKey()]
  lab.mode = 'failing'
  ahead(59_000)
  expect(await show(await sign())).not.toBeNull()
  ahead(1_000)
  expect(await show(await sign())).toBeNull()
  lab.mode = 'good'
  ahead(16_000)
  expect(await show(await sign())).toBeNull()
  expect(await show(await lab.sign(claims()))).not.toBeNull()
})

test.each(['garbage', 'silent', 'trickle', 'huge', 'failing', 'redirect', 'metadata'] as const)(
  'an issuer that is %s lets nobody in, is asked no more than needed, and does again when it is well',
  async (mode) => {
    await usual()
    lab.mode = mode
    const startedMs = performance.now()
    const shown = await Promise.all(Array.from({ length: 5 }, async () => show(await lab.sign(claims()))))
    expect(shown).toEqual(Array(5).fill(null))
    expect(performance.now() - startedMs).toBeLessThan(9_000)
    expect([lab.asked.discovery, lab.asked.jwks]).toEqual([1, 0])
    expect(logged.some((line) => line.includes('could not be fetched'))).toBe(true)
    lab.mode = 'good'
    expect(await show(await lab.sign(claims()))).toBeNull()
    ahead(16_000)
    expect(await show(await lab.sign(claims()))).not.toBeNull()
  },
  20_000,
)

test('an issuer that is down altogether, or that is another than it says, lets nobody in', async () => {
  await join('orders-api', 'workload')
  const gone = await LabIssuer.start()
  await gone.stop()
  await trust({ name: 'gone', origin: gone.url })
  await map({ issuer: 'gone' })
  expect(await show(await lab.sign({ ...claims(), iss: gone.url }))).toBeNull()
  await trust({ name: 'other', origin: `${lab.url}/realm` })
  await map({ issuer: 'other' })
  expect(await show(await lab.sign({ ...claims(), iss: `${lab.url}/realm` }))).toBeNull()
  expect(logged.filter((line) => line.includes('could not be fetched'))).toHaveLength(2)
})

test('addresses that are refused are not connected to, however they are written', async () => {
  const { fetchObject } = await import('./issuer.fetch.ts')
  const guard = new AddressGuard(['127.0.0.0/8', '169.254.0.0/16', '::1/128'])
  for (const host of ['169.254.169.254', '[::ffff:169.254.169.254]', '2852039166', '127.0.0.1', 'localhost', '[::1]']) {
    const scheme = /^(127|localhost|\[::1)/.test(host) ? 'http' : 'https'
    await expect(fetchObject(guard, `${scheme}://${host}:1/`), host).rejects.toThrow('target_unsupported')
  }
  await expect(fetchObject(new AddressGuard(), 'http://issuer.example/')).rejects.toThrow('not https')
})

test('nothing is fetched for an issuer that nobody trusts', async () => {
  await usual()
  const stranger = await LabIssuer.start()
  expect(await show(await stranger.sign({ ...claims(), iss: stranger.url }))).toBeNull()
  expect(await show(await stranger.sign(svidClaims(AUDIENCE, at())))).toBeNull()
  expect([stranger.asked, lab.asked]).toEqual([
    { discovery: 0, jwks: 0, elsewhere: 0 },
    { discovery: 0, jwks: 0, elsewhere: 0 },
  ])
  await stranger.stop()
})

test('keys that are given with the issuer need nobody to be reached', async () => {
  const id = await usual({ keys: { from: 'inline', jwks: lab.jwks() as never } })
  await lab.stop()
  expect(await show(await lab.sign(claims()))).toMatchObject({ id })
  expect(await show(await lab.sign(claims(), {}, await labKey()))).toBeNull()
  await anotherLab()
})
