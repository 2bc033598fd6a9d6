/** What folds alike in the program is one in the database, whatever the locale of that; and what was stored before is brought over. */
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshDatabase, SCHEMA_FOLDER, type TestDatabase } from '../../test/lab/database.ts'
import { addressKey, isCode, makeCtx, nameKey, newId, silentLog } from '../kernel/index.ts'
import { migrate, openStore, type Store } from '../store/index.ts'
import { foldRest, fsckIdentities, joinIdentity, moveIdentity, putIdentities } from './index.ts'
import { othersOf } from './person.store.ts'
import { shareHuman } from './person.ts'
import { checkIdentityName } from './record.model.ts'

const warnings: unknown[] = []
const ctx = makeCtx('test', 'test', { log: { ...silentLog, warn: (...args: unknown[]) => void warnings.push(args[0]) } })

/** PostgreSQL's `lower` knows ASCII in the first, all letters in the second, and makes a dotless i of I in the third. */
const LOCALES = {
  C: "locale 'C'",
  Unicode: "locale_provider icu icu_locale 'en-US' locale 'C'",
  Turkish: "locale_provider icu icu_locale 'tr-TR' locale 'C'",
}
const SAMPLES: readonly string[] = [
  'Élise',
  'ÉLISE',
  'istanbul',
  'ISTANBUL',
  'ıstanbul',
  'Νίκος',
  'ΝΊΚΟΣ',
  'weiß',
  'WEISS',
  'Анна',
  'АННА',
  'x y',
]

let lab: TestDatabase
let older: string
beforeAll(async () => {
  lab = await freshDatabase()
  older = mkdtempSync(joinPath(tmpdir(), 'rekey-schema-'))
  const files = readdirSync(SCHEMA_FOLDER).sort()
  for (const file of files.slice(
    0,
    files.findIndex((name) => name.endsWith('_folded.sql')),
  )) {
    cpSync(joinPath(SCHEMA_FOLDER, file), joinPath(older, file))
  }
})
afterAll(async () => {
  await lab.drop()
  rmSync(older, { recursive: true })
})

/** With a database of this locale, empty. */
async function withDatabase(locale: string, use: (store: Store) => Promise<void>): Promise<void> {
  const name = `t_${newId().replaceAll('-', '')}`
  await lab.store.query(`create database ${name} template template0 encoding 'UTF8' ${locale}`)
  const store = openStore({ connection: { ...lab.connection, database: name }, max: 4, log: silentLog })
  try {
    await use(store)
  } finally {
    await store.close()
    await lab.store.query(`drop database ${name} with (force)`)
  }
}

const start = (store: Store) => migrate(store, SCHEMA_FOLDER, (tx) => foldRest(tx, ctx))

describe.each(Object.entries(LOCALES))('in the locale %s', (_name, locale) => {
  test('whatever folds alike is one in the database: names are refused, addresses are of one human, and nothing else is', async () => {
    await withDatabase(locale, async (store) => {
      await start(store)
      const taken = new Map<string, string>()
      const join = (name: string) =>
        store.inTx((tx) => joinIdentity(tx, ctx, { name, kind: 'human', source: 'api' })).catch((error: unknown) => error)
      const isName = (text: string) => {
        try {
          return checkIdentityName(text) === text
        } catch {
          return false
        }
      }
      const some = fc.string({ unit: fc.constantFrom(...'aAeEëËéÉßẞsSσςΣıİiIжЖ'), minLength: 1, maxLength: 3 })
      const text = fc.oneof(fc.constantFrom(...SAMPLES), some, fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }))
      await fc.assert(
        fc.asyncProperty(text, async (name) => {
          if (!isName(name)) return
          const made = await join(name)
          if (taken.has(nameKey(name))) expect(isCode(made, 'conflict'), `${name} beside ${taken.get(nameKey(name))}`).toBe(true)
          else expect(typeof made, `${name}: ${made}`).toBe('string')
          taken.set(nameKey(name), taken.get(nameKey(name)) ?? name)
        }),
        { numRuns: 80 },
      )
      const [one, other] = [String(await join('first of two')), String(await join('second of two'))]
      const say = (id: string, email: string) => store.inTx((tx) => moveIdentity(tx, ctx, id, { labels: { email } }))
      const domain = fc.constantFrom('bücher.example', 'BÜCHER.example', 'xn--bcher-kva.example', 'ｂücher．example', 'other.example')
      const address = fc.tuple(fc.constantFrom('ë', 'Ë', 'e', 'I', 'i', 'ı', 'ς', 'Σ'), domain).map((parts) => parts.join('@'))
      await fc.assert(
        fc.asyncProperty(address, address, async (a, b) => {
          await say(one, a)
          await say(other, b)
          const same = addressKey(a) === addressKey(b)
          expect(await shareHuman(store, [one], [other]), `${a} and ${b}`).toBe(same)
          expect((await othersOf(store, one)).map(({ id }) => id)).toEqual(same ? [other] : [])
        }),
        { numRuns: 40 },
      )
      expect(await fsckIdentities(store)).toEqual([])
    })
  })

  test('what is there is brought over: nothing of it fails to start, and of names that fold alike the first keeps its own', async () => {
    await withDatabase(locale, async (store) => {
      await migrate(store, older)
      const names = [...SAMPLES, 'Ada', 'ada', 'ADA', 'plain']
      const emails = ['Ada@Example.org', 'ZOË@Bücher.example', 'zoë@xn--bcher-kva.example', 'max@example.org.', 'I@example.org', 'nothing']
      await makeOld(store, names, emails)
      expect(await start(store)).toBeGreaterThan(0)
      await expectFolded(store)
      type Found = { name: string; nth: number }
      const found = await store.query<Found>('select name, name_nth as nth from identity order by name_key, name_nth')
      for (const [key, alike] of Map.groupBy(found, ({ name }) => nameKey(name))) {
        expect(
          alike.map(({ nth }) => nth),
          key,
        ).toEqual(alike.map((_, at) => at))
      }
      expect(found.filter(({ nth }) => nth > 0).map(({ name }) => name)).toEqual(expect.arrayContaining(['ada', 'ADA']))
      expect(warnings.at(-1)).toEqual({ names: expect.stringContaining('ADA') })
      const rows = () => store.query('select name, name_key, name_nth, xmin::text from identity order by name')
      const before = await rows()
      expect(await start(store)).toBe(0)
      expect(await rows()).toEqual(before)
      await expect(store.inTx((tx) => joinIdentity(tx, ctx, { name: 'élise', kind: 'human', source: 'api' }))).rejects.toMatchObject({
        code: 'conflict',
      })
      // Whoever has a name that is not theirs alone may be changed, and be called otherwise; then the name is still the other's.
      const [ada] = await store.query<{ id: string }>("select id from identity where name = 'ada'")
      const id = ada?.id ?? ''
      await store.inTx((tx) => moveIdentity(tx, ctx, id, { purpose: 'writes programs' }))
      await store.inTx((tx) => moveIdentity(tx, ctx, id, { name: 'augusta' }))
      expect(await store.query("select name_key, name_nth from identity where name = 'augusta'")).toEqual([
        { name_key: 'augusta', name_nth: 0 },
      ])
      await expect(store.inTx((tx) => moveIdentity(tx, ctx, id, { name: 'aDa' }))).rejects.toMatchObject({ code: 'conflict' })
    })
  })
})

test('a fleet file makes no name that folds like another, in the record or in itself, and says which', async () => {
  const fields = { kind: 'workload', owner: 'team', purpose: 'serves', environment: 'test' } as const
  const permit = () => ({ check: () => undefined }) as never
  const put = (...names: string[]) =>
    lab.store.inTx((tx) =>
      putIdentities(
        tx,
        ctx,
        permit,
        names.map((name) => ({ ...fields, name })),
      ),
    )
  expect((await put('ölpreis', 'other')).size).toBe(2)
  expect((await put('ölpreis')).size, 'the same again').toBe(1)
  const faults = [{ path: 'ÖLPREIS', message: 'An identity is called so already, perhaps in another spelling.' }]
  await expect(put('new', 'ÖLPREIS')).rejects.toMatchObject({ code: 'conflict', faults })
  await expect(put('Twice', 'twice')).rejects.toMatchObject({ code: 'conflict' })
  expect(await lab.store.query("select name from identity where name in ('new', 'Twice', 'twice', 'ÖLPREIS')")).toEqual([])
})

test('two at the same moment whose names fold alike: one joins', async () => {
  const join = (name: string) => lab.store.inTx((tx) => joinIdentity(tx, ctx, { name, kind: 'human', source: 'api' }))
  for (let n = 0; n < 5; n++) {
    const done = await Promise.allSettled([join(`Élise ${n}`), join(`élise ${n}`), join(`ÉLISE ${n}`)])
    expect(done.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
    for (const one of done) if (one.status === 'rejected') expect(isCode(one.reason, 'conflict')).toBe(true)
  }
})

/** Rows as a version before this wrote them. */
async function makeOld(store: Store, names: readonly string[], emails: readonly string[]): Promise<void> {
  const provider = newId()
  await store.query(
    "insert into scim_provider (id, name, tenancy, offboard_after_seconds, created_at) values ($1, 'hr', 'default', 0, now())",
    [provider],
  )
  for (const [at, name] of names.entries()) {
    const id = newId()
    await store.query(
      `insert into identity (id, name, kind, owner, owner_identity_id, purpose, environment, created_at)
       values ($1, $2, 'human', $2, $1, 'x', 'x', now() + make_interval(secs => $3))`,
      [id, name, at],
    )
    const email = emails[at % emails.length] ?? ''
    await store.query(
      "insert into identity_label (identity_id, identity_name, key, value) values ($1, $2, 'email', $3), ($1, $2, 'a', 'b')",
      [id, name, email],
    )
    await store.query(
      `insert into scim_user (id, provider_id, identity_id, user_name_key, resource, created_at, changed_at)
       values ($1, $2, $1, $3, '{}', now(), now())`,
      [id, provider, id],
    )
    const key = email.normalize('NFKC').toLowerCase()
    await store.query('insert into scim_email (user_id, email_key, since) values ($1, $2, now())', [id, key])
  }
}

async function expectFolded(store: Store): Promise<void> {
  const identities = await store.query<{ name: string; name_key: string }>('select name, name_key from identity')
  for (const { name, name_key } of identities) expect(name_key).toBe(nameKey(name))
  const emails = await store.query<{ email_key: string; address: string }>('select email_key, address from scim_email')
  for (const { email_key, address } of emails) expect(address).toBe(addressKey(email_key))
  const labels = await store.query<{ key: string; value: string; address: string | null }>('select key, value, address from identity_label')
  for (const { key, value, address } of labels) expect(address).toBe(key === 'email' ? addressKey(value) : null)
  expect([identities.length, emails.length, labels.length]).toEqual([identities.length, identities.length, 2 * identities.length])
}
