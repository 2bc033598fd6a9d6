import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { isCode, makeCtx, newId } from '../kernel/index.ts'
import { permitted } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import {
  addTeamMembers,
  fsckIdentities,
  IDENTITY_STATUSES,
  identityNamed,
  joinIdentity,
  leaveIdentity,
  listIdentities,
  moveIdentity,
  NEXT_STATUS,
  offboardIdentity,
  peopleOf,
  putIdentities,
  putTeam,
  recoveryClassOf,
  removeIdentities,
  removeTeam,
  removeTeamMembers,
  resumeIdentity,
  setTeamMembers,
  suspendIdentity,
  teamsOf,
} from './index.ts'
import { checkEntitlements, checkIdentityName, checkLabels, checkName, RECORD_LIMITS } from './record.model.ts'

const ctx = makeCtx('test', 'record')
const code = (wanted: Parameters<typeof isCode>[1]) => (error: unknown) => isCode(error, wanted)

describe('without a database', () => {
  test('nothing leads back from offboarded, and everything leads there', () => {
    expect(NEXT_STATUS.offboarded).toEqual([])
    for (const from of IDENTITY_STATUSES) {
      expect(NEXT_STATUS[from]).not.toContain(from)
      if (from !== 'offboarded') expect(NEXT_STATUS[from]).toContain('offboarded')
    }
  })

  test('the recovery class follows the kind, unless one is on record', () => {
    expect((['human', 'workload', 'agent', 'machine'] as const).map((kind) => recoveryClassOf(kind, null))).toEqual([
      'human',
      'workload',
      'workload',
      'machine_to_machine',
    ])
    expect(recoveryClassOf('human', 'emergency')).toBe('emergency')
  })

  test.each([
    ['', 'empty'],
    ['x'.repeat(201), 'longer than 200'],
    ['a\nb', 'line break'],
    ['a\u0000', 'control'],
    ['a\u200bb', 'invisible'],
    ['\u202egnp.exe', 'invisible'],
    [' a', 'space'],
    ['e\u0301', 'composed'],
    ['p\u0430ypal', 'alphabets'],
    ['\u0391dmin', 'alphabets'],
    ['ａｄｍｉｎ', 'NFKC'],
    ['𝐚𝐝𝐦𝐢𝐧', 'NFKC'],
    ['01890000-0000-7000-8000-000000000000', 'form of an id'],
    ['01890000-0000-7000-8000-00000000000A', 'form of an id'],
  ])('the name %j is refused: %s', (name, why) => {
    expect(() => checkIdentityName(name)).toThrow(why)
  })

  test.each(['ada', 'Ada Lovelace', 'ada@example.org', 'Анна', 'svc_orders-api.2', '東京チーム', 'Team Москва', 'é', 'Δέλτα'])(
    'the name %j is one',
    (name) => expect(checkName('name', name)).toBe(name),
  )

  test('a name that is accepted is printable as it stands, whatever it is made from', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), (name) => {
        try {
          checkIdentityName(name)
        } catch (error) {
          return isCode(error, 'bad_input')
        }
        return name === name.trim() && name.normalize('NFKC') === name && !/\p{C}/u.test(name.replaceAll(/\p{Co}|\p{Cn}/gu, ''))
      }),
    )
  })

  test('labels and entitlements are bounded, in words', () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`k${n}`, 'v']))
    expect(() => checkLabels(many)).toThrow(`There are 10000 labels; at most ${RECORD_LIMITS.labels}`)
    expect(() => checkLabels({ ['k'.repeat(64)]: 'v' })).toThrow('longer than 63')
    expect(() => checkLabels({ k: 'v'.repeat(201) })).toThrow('longer than 200')
    expect(() => checkLabels({ 'Bad Key': 'v' })).toThrow('a-z')
    expect(() => checkLabels({ k: '\u001b[2J' })).toThrow('control')
    expect(() => checkEntitlements(Array.from({ length: 501 }, (_, n) => ({ system: `${n}`, account: 'a', role: 'r' })))).toThrow(
      'at most 500',
    )
  })
})

describe('on a database', () => {
  let db: TestDatabase
  beforeEach(async () => {
    db = await freshDatabase()
  })
  afterEach(() => db.drop())
  const inTx = <T>(use: (tx: Tx) => Promise<T>) => db.store.inTx(use)
  const human = (name: string) => inTx((tx) => joinIdentity(tx, ctx, { name, kind: 'human', source: 'api' }))
  const crew = (name: string) => inTx((tx) => putTeam(tx, ctx, { name }))

  test('no sequence of changes moves a status but as the table says', async () => {
    const verbs = { active: resumeIdentity, suspended: suspendIdentity, offboarded: offboardIdentity } as const
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...IDENTITY_STATUSES), { maxLength: 6 }), async (moves) => {
        const id = await human(`p-${newId().slice(14)}`)
        let at: (typeof IDENTITY_STATUSES)[number] = 'active'
        for (const to of moves) {
          const done = await inTx((tx) => verbs[to](tx, ctx, id, 'because')).catch((error: unknown) => {
            expect(isCode(error, 'wrong_state')).toBe(true)
            return 'refused'
          })
          expect(done).toBe(at === to ? false : NEXT_STATUS[at].includes(to) ? true : 'refused')
          if (done === true) at = to
          expect((await identityNamed(db.store, id)).status).toBe(at)
        }
      }),
      { numRuns: 25 },
    )
  })

  /** True if the stored nesting has a circle, found by taking away what has nothing below it. */
  async function circular(): Promise<boolean> {
    let edges = await db.store.query<{ parent_id: string; child_id: string }>('select parent_id, child_id from team_nesting')
    for (;;) {
      const parents = new Set(edges.map((edge) => edge.parent_id))
      const left = edges.filter((edge) => parents.has(edge.child_id))
      if (left.length === edges.length) return edges.length > 0
      edges = left
    }
  }

  test('no sequence of nestings, one after another or at once, makes a circle', async () => {
    const teams = await Promise.all(Array.from({ length: 5 }, (_, n) => crew(`t${n}`)))
    const pair = fc.tuple(fc.nat(4), fc.nat(4))
    await fc.assert(
      fc.asyncProperty(fc.array(pair, { minLength: 2, maxLength: 12 }), fc.boolean(), async (pairs, atOnce) => {
        const nest = ([parent, child]: [number, number]) =>
          inTx((tx) => addTeamMembers(tx, ctx, teams[parent] ?? '', { teams: [teams[child] ?? ''] })).catch((error: unknown) => {
            if (!isCode(error, 'conflict')) throw error
          })
        if (atOnce) await Promise.all(pairs.map(nest))
        else for (const each of pairs) await nest(each)
        expect(await circular()).toBe(false)
        for (const id of teams) await inTx((tx) => setTeamMembers(tx, ctx, id, {}))
      }),
      { numRuns: 20 },
    )
  })

  test('the two halves of a circle at the same moment: one is refused', async () => {
    const [a, b] = [await crew('a'), await crew('b')]
    const both = await Promise.allSettled([
      inTx((tx) => setTeamMembers(tx, ctx, a, { teams: [b] })),
      inTx((tx) => setTeamMembers(tx, ctx, b, { teams: [a] })),
    ])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    await expect(inTx((tx) => addTeamMembers(tx, ctx, a, { teams: [a] }))).rejects.toSatisfy(code('conflict'))
  })

  test('teams and people are found through any depth, once, and only active people count', async () => {
    const [ada, bob] = [await human('ada'), await human('bob')]
    const [top, mid, low] = [await crew('top'), await crew('mid'), await crew('low')]
    await inTx((tx) => addTeamMembers(tx, ctx, top, { teams: [mid, low] }))
    await inTx((tx) => addTeamMembers(tx, ctx, mid, { teams: [low], identities: [ada] }))
    await inTx((tx) => addTeamMembers(tx, ctx, low, { identities: [ada, bob] }))
    expect((await teamsOf(db.store, ada)).sort()).toEqual([top, mid, low].sort())
    expect((await peopleOf(db.store, top)).map(({ name }) => name)).toEqual(['ada', 'bob'])
    await inTx((tx) => suspendIdentity(tx, ctx, bob, 'away'))
    expect((await peopleOf(db.store, top)).map(({ name }) => name)).toEqual(['ada'])
    expect((await listIdentities(db.store, { team: 'top' }, { limit: 10 })).map(({ name }) => name)).toEqual(['ada', 'bob'])
    await expect(inTx((tx) => addTeamMembers(tx, ctx, low, { identities: [newId()] }))).rejects.toSatisfy(code('not_found'))
    await expect(inTx((tx) => addTeamMembers(tx, ctx, low, { teams: [newId()] }))).rejects.toSatisfy(code('not_found'))
  })

  test('the same external id from two sources is two teams; from one source it is one', async () => {
    const put = (source: string, name: string) => inTx((tx) => putTeam(tx, ctx, { source, externalId: 'g1', name }))
    const [a, b] = [await put('scim:a', 'crew'), await put('scim:b', 'crew')]
    expect(a).not.toBe(b)
    expect(await put('scim:a', 'other')).toBe(a)
  })

  test('nobody is ever without an owner who is there, whatever happens', async () => {
    const people = await Promise.all(Array.from({ length: 4 }, (_, n) => human(`p${n}`)))
    const teams = [await crew('x'), await crew('y')]
    const who = fc.nat(3)
    const step = fc.oneof(
      fc.record({ do: fc.constant('own' as const), a: who, b: who }),
      fc.record({ do: fc.constant('own by team' as const), a: who, b: fc.nat(1) }),
      fc.record({ do: fc.constant('end team' as const), a: who, b: fc.nat(1) }),
      fc.record({ do: fc.constant('manage' as const), a: who, b: who }),
      fc.record({ do: fc.constant('enter' as const), a: who, b: fc.nat(1) }),
      fc.record({ do: fc.constantFrom('leave' as const, 'offboard' as const), a: who, b: who }),
      fc.record({ do: fc.constant('drop' as const), a: who, b: fc.nat(1) }),
    )
    let count = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 10 }), fc.boolean(), async (steps, atOnce) => {
        const take = async ({ do: verb, a, b }: (typeof steps)[number]) => {
          const [one, other] = [people[a] ?? '', people[b] ?? '']
          await inTx(async (tx) => {
            const owner = { kind: 'person', id: one } as const
            const made = { name: `w${count++}`, kind: 'workload', purpose: 'p', environment: 'e', source: 'api' } as const
            if (verb === 'own') await joinIdentity(tx, ctx, { ...made, owner })
            if (verb === 'own by team') await joinIdentity(tx, ctx, { ...made, owner: { kind: 'team', id: teams[b] ?? '' } })
            if (verb === 'end team') await removeTeam(tx, ctx, teams[b] ?? '')
            if (verb === 'manage') await moveIdentity(tx, ctx, one, { manager: other })
            if (verb === 'enter') await addTeamMembers(tx, ctx, teams[b] ?? '', { identities: [one] })
            if (verb === 'leave') await leaveIdentity(tx, ctx, one, 'left')
            if (verb === 'offboard') await offboardIdentity(tx, ctx, one, 'left')
            if (verb === 'drop') await removeTeamMembers(tx, ctx, teams[b] ?? '', { identities: [one] })
          }).catch((error: unknown) => {
            if (!['bad_input', 'not_found', 'wrong_state', 'conflict'].some((each) => isCode(error, each as 'bad_input'))) throw error
          })
        }
        if (atOnce) await Promise.all(steps.map(take))
        else for (const each of steps) await take(each)
        const lost = await db.store.query(
          `select i.name from identity i left join identity o on o.id = i.owner_identity_id
            where (i.owner_identity_id is null and i.owner_team_id is null) or o.status = 'offboarded' or o.left_at is not null`,
        )
        expect(lost).toEqual([])
        // Somebody joins where somebody went, so that there is always somebody to leave.
        for (const [n, id] of people.entries()) {
          if ((await identityNamed(db.store, id)).status !== 'active') people[n] = await human(`n${count++}`)
        }
        for (const n of teams.keys()) {
          const gone = (await db.store.query('select 1 from team where id = $1', [teams[n]])).length === 0
          if (gone) teams[n] = await crew(`t${count++}`)
        }
      }),
      { numRuns: 15 },
    )
    expect(await fsckIdentities(db.store)).toEqual([])
  })

  test('pages by name hold everything once, under every filter and in code point order', async () => {
    const owner = { kind: 'person', id: await human('Zoe') } as const
    const names = ['b', 'C', 'é', 'z', 'a-1', 'a_1', '𝒳'.normalize('NFKC'), '東京', 'ab', 'aC']
    for (const [n, name] of names.entries()) {
      const labels = { odd: n % 2 === 1 ? 'yes' : 'no' }
      await inTx((tx) =>
        joinIdentity(tx, ctx, { name: `${name}!`, kind: 'workload', owner, purpose: 'p', environment: `e${n % 3}`, source: 'api', labels }),
      )
    }
    const filters = [
      {},
      { kind: 'workload' as const },
      { owner: 'Zoe' },
      { label: { key: 'odd', value: 'yes' } },
      { environment: 'e1', owner: owner.id },
    ]
    for (const filter of filters) {
      const all = (await listIdentities(db.store, filter, { limit: 100 })).map(({ name }) => name)
      expect(all.length).toBeGreaterThan(2)
      expect(all).toEqual([...all].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y))))
      const paged: string[] = []
      for (let after: string | undefined; ; after = paged.at(-1)) {
        const page = await listIdentities(db.store, filter, { limit: 2, ...(after !== undefined && { after }) })
        paged.push(...page.map(({ name }) => name))
        if (page.length < 2) break
      }
      expect(paged).toEqual(all)
    }
    expect((await listIdentities(db.store, { prefix: 'a' }, { limit: 9 })).map(({ name }) => name)).toEqual(['a-1!', 'aC!', 'a_1!', 'ab!'])
    expect(await listIdentities(db.store, { owner: 'nobody' }, { limit: 9 })).toEqual([])
    expect(await listIdentities(db.store, { team: 'nobody' }, { limit: 9 })).toEqual([])
  })

  test('fsck agrees with everything that was done by the front door, and names what was not', async () => {
    const [ada, bob] = [await human('ada'), await human('bob')]
    const api = { name: 'api', kind: 'workload', owner: 'crew', purpose: 'serves', environment: 'prod' } as const
    await inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [api, { ...api, name: 'gone' }]))
    const [one, two] = [await crew('crew'), await crew('two')]
    await inTx((tx) => setTeamMembers(tx, ctx, one, { identities: [ada, bob], teams: [two] }))
    await inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [{ ...api, owner: 'two' }]))
    await inTx((tx) =>
      moveIdentity(tx, ctx, bob, {
        name: 'rob',
        labels: { a: '1' },
        entitlements: [{ system: 's', account: 'a', role: 'r' }],
        externalIds: [{ source: 'scim:x', id: '7' }],
        manager: ada,
      }),
    )
    await inTx((tx) => suspendIdentity(tx, ctx, bob, 'away'))
    await inTx((tx) => offboardIdentity(tx, ctx, ada, 'gone'))
    await inTx((tx) => removeIdentities(tx, ctx, permitted(ctx), ['gone']))
    await inTx((tx) => removeTeam(tx, ctx, two))
    expect(await fsckIdentities(db.store)).toEqual([])
    const meddling = [
      ["update identity set status = 'active' where name = 'rob'", 'status'],
      ["update identity set barred = true where name = 'rob'", 'barred'],
      ["update identity set owner_identity_id = null where name = 'rob'", 'ownerPerson'],
      ["update identity set purpose = 'other' where name = 'api'", 'purpose'],
      ["update identity set name = 'apis', name_key = 'apis' where name = 'api'", 'name'],
      ["update identity set name_key = 'api' where name = 'rob'", 'compared by'],
      ["update identity set kind = 'agent' where name = 'apis'", 'kind'],
      ["update identity set owner = 'other' where name = 'apis'", 'owner'],
      ["update identity set environment = 'other' where name = 'apis'", 'environment'],
      ["update identity set tenancy = 'other' where name = 'apis'", 'tenancy'],
      ["update identity set source = 'other' where name = 'apis'", 'source'],
      ["update identity set owner_team_id = (select id from team where name = 'crew') where name = 'apis'", 'ownerTeam'],
      ["update identity set manager_id = null where name = 'rob'", 'manager'],
      ["update identity set recovery_class = 'emergency', recovery_class_reason = 'x' where name = 'rob'", 'recoveryClassReason'],
      ["update identity set ial = 3, ial_source = 'x', ial_at = now() where name = 'rob'", 'ialSource'],
      ["update identity_label set value = '2'", 'label a'],
      ["insert into entitlement values ($1, 's', 'a', 'admin')", 'admin'],
      ['delete from identity_external', 'scim:x'],
      ['delete from team_member where identity_id = $1', 'member'],
      ["update team set name = 'else' where name = 'crew'", 'name by the log'],
    ] as const
    for (const [statement, word] of meddling) {
      const before = (await fsckIdentities(db.store)).length
      await db.store.query(statement, statement.includes('$1') ? [bob] : undefined)
      const found = await fsckIdentities(db.store)
      const changed = statement.split(/ = /).length - 1 - (statement.includes('where') ? 1 : 0)
      expect(found.length, statement).toBeGreaterThan(before)
      expect(found.length, statement).toBeLessThanOrEqual(before + Math.max(1, changed))
      expect(found.map(({ what }) => what).join('\n'), statement).toContain(word)
    }
    const columns = await db.store.query<{ name: string }>(
      "select column_name as name from information_schema.columns where table_name = 'identity' and table_schema = current_schema()",
    )
    const tried = meddling.flatMap(([statement]) => [...statement.matchAll(/(\w+) = /g)].map(([, column]) => column))
    // Made by the row itself, or told by `status`.
    const own = ['id', 'name_nth', 'created_at', 'changed_at', 'revision', 'owner_key', 'left_at']
    expect(columns.map(({ name }) => name).filter((name) => !tried.includes(name) && !own.includes(name))).toEqual([])
  })
})
