/** What is somebody else's and a leaver knows: its rotation killed at every place where that would hurt, on real systems. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { takeChanges } from '../../src/credential/closure.changes.ts'
import { fsckCredentials } from '../../src/credential/fsck.ts'
import { Engine } from '../../src/credential/testing.ts'
import { joinIdentity, offboardIdentity, resumeIdentity, suspendIdentity } from '../../src/identity/index.ts'
import { newId, Secret, sleep } from '../../src/kernel/index.ts'
import { Child } from './child.parent.ts'
import { availableKinds, oldSecret, type SystemKind, startYards, type Yard } from './kit.yards.ts'

let yards: readonly Yard[]
let engine: Engine
const systems = new Map<SystemKind, string>()

beforeAll(async () => {
  ;[yards, engine] = await Promise.all([startYards(availableKinds()), Engine.start({ worker: false })])
  for (const { kind, lab } of yards) systems.set(kind, await engine.addSystem(kind, kind, lab.address, lab.root))
})
afterAll(async () => {
  await engine.stop()
  await Promise.all(yards.map(({ lab }) => lab.stop()))
})

const inTx = <T>(use: Parameters<typeof engine.db.store.inTx<T>>[0]) => engine.db.store.inTx(use)
type Act = typeof offboardIdentity

async function person(): Promise<string> {
  return inTx((tx) => joinIdentity(tx, engine.ctx, { name: `person-${newId()}`, kind: 'human', purpose: 'tests', source: 'api' }))
}

/** A credential of somebody who stays, and how the leaver knows its value. */
interface Case {
  readonly yard: Yard
  readonly credential: string
  readonly account: string
  readonly secret: Secret
  /** The file of who stays, and that of the leaver. */
  readonly kept: string
  readonly left: string
}

async function add(yard: Yard, identity: string, secret: Secret, consumers: readonly { name: string; path: string; whose?: string }[]) {
  const account = `o${newId().replaceAll('-', '').slice(-12)}`
  await yard.lab.createAccount(account, secret)
  const files = consumers.map((one) => ({ ...one, activation: 'none' as const }))
  const strategy = yard.kind === 'redis' ? ('dual' as const) : ('in-place' as const)
  const spec = { name: account, strategy, accounts: [account], current: secret, identity, consumers: files }
  return { account, credential: await engine.addCredential(systems.get(yard.kind) ?? '', spec) }
}

async function makeCase(yard: Yard, leaver: string, owner: string, how: 'consumer' | 'same_value'): Promise<Case> {
  const secret = oldSecret()
  const tag = newId()
  const [kept, left] = [join(engine.folder, `${tag}.kept`), join(engine.folder, `${tag}.left`)]
  for (const path of [kept, left]) secret.revealText((text) => writeFileSync(path, `${text}\n`))
  const leavers = how === 'consumer' ? [{ name: 'desk', path: left, whose: leaver }] : []
  if (how === 'same_value') await add(yard, leaver, secret, [])
  const made = await add(yard, owner, secret, [{ name: 'nightly-report', path: kept, whose: owner }, ...leavers])
  return { yard, ...made, secret, kept, left }
}

async function opens({ lab }: Yard, account: string, secret: Secret): Promise<boolean> {
  try {
    await (await lab.openSession(account, secret, 'check')).close()
    return true
  } catch {
    return false
  }
}

const fileOf = (path: string) => Secret.fromText(readFileSync(path, 'utf8').trim())
const textOf = (secret: Secret) => secret.revealText((text) => text)

interface Item {
  readonly id: string
  readonly state: string
  readonly open: boolean
}

async function itemOf({ credential }: Case): Promise<Item> {
  const [item] = await engine.db.store.query<Item>(
    `select id, state, attempt_step is not null or due_at is not null or lease_until is not null as open from closure_item
      where credential_id = $1 and relation <> 'own'`,
    [credential],
  )
  if (item === undefined) throw new Error('the closure has no such item')
  return item
}

async function reached(cases: readonly Case[], state: string): Promise<void> {
  for (const until = engine.ctx.clock.monotonicMs() + 30_000; ; await sleep(30)) {
    const items = await Promise.all(cases.map(itemOf))
    if (items.every((item) => item.state === state && !item.open)) return
    if (engine.ctx.clock.monotonicMs() > until) throw new Error(`still ${JSON.stringify(items)}`)
  }
}

async function story({ credential }: Case, closureOf: string): Promise<string[]> {
  const rows = await engine.db.store.query<{ body: string }>(
    `select body from evidence_event where body like $1 and body like $2 and body like '%"type":"logins.%' order by id`,
    [`%"credential":"${credential}"%`, `%"identity":"${closureOf}"%`],
  )
  return rows.map(({ body }) => String(JSON.parse(body).type).slice('logins.'.length))
}

/** Has the change taken, so that the items are known, before a process runs that may die. */
async function begin(act: Act, identity: string): Promise<void> {
  await inTx((tx) => act(tx, engine.ctx, identity, 'test'))
  await takeChanges({ ...engine.parts, destroyAfterSeconds: 0, stops: [] }, engine.ctx)
}

const itemsOf = async (cases: readonly Case[]) => (await Promise.all(cases.map(itemOf))).map(({ id }) => id)

async function faultsAfter(one: Case): Promise<string[]> {
  const faults: string[] = []
  if (await opens(one.yard, one.account, one.secret)) faults.push('the value that the leaver knows is accepted')
  if (!(await opens(one.yard, one.account, fileOf(one.kept)))) faults.push('who stays has a value that is refused')
  if (textOf(fileOf(one.left)) !== textOf(one.secret)) faults.push('the file of the leaver was written')
  return faults.map((fault) => `${one.yard.kind}: ${fault}`)
}

describe.each(['consumer', 'same_value'] as const)('killed while rotating what the leaver knows (%s)', (how) => {
  test.each(['before_rotate', 'before_commit:rotating', 'after_commit:rotating', 'before_commit:rotated', 'after_commit:rotated'])(
    'at %s',
    async (where) => {
      const [leaver, owner] = [await person(), await person()]
      const cases = await Promise.all(yards.map((yard) => makeCase(yard, leaver, owner, how)))
      await begin(offboardIdentity, leaver)
      const first = await Child.start(engine, { where, rotations: await itemsOf(cases) })
      await first.sprung()
      // Whoever stays gets in at every moment, by what is in their file or by what Rekey keeps for the next try.
      const alive = await Promise.all(cases.map((one) => opens(one.yard, one.account, fileOf(one.kept))))
      if (where.endsWith('rotated') || where.startsWith('before')) expect(alive).not.toContain(false)
      const second = await Child.start(engine)
      await reached(cases, 'rotated').finally(() => second.stop())
      expect((await Promise.all(cases.map(faultsAfter))).flat()).toEqual([])
      for (const one of cases) {
        expect(await story(one, leaver)).toEqual(['planned', 'rotating', 'rotated'])
        const rotations = await engine.db.store.query('select state from rotation where credential_id = $1', [one.credential])
        expect(rotations).toEqual([{ state: 'proven_dead' }])
      }
      expect(await fsckCredentials(engine.db.store)).toEqual([])
    },
  )
})

describe('killed while whose it is is away too', () => {
  /** The owner is suspended first, so that the leaver's closure must wait for that one. */
  async function waiting() {
    const [leaver, owner] = [await person(), await person()]
    const cases = await Promise.all(
      yards.map(async (yard): Promise<Case> => {
        const secret = oldSecret()
        await add(yard, leaver, secret, [])
        return { yard, ...(await add(yard, owner, secret, [])), secret, kept: '', left: '' }
      }),
    )
    await begin(suspendIdentity, owner)
    const suspending = await Child.start(engine)
    await expect
      .poll(() => ownStates(cases), { timeout: 20_000 })
      .toEqual(['suspended'])
      .catch(async (error: unknown) => {
        await suspending.stop()
        throw error
      })
    await begin(offboardIdentity, leaver)
    await reached(cases, 'handed_over').finally(() => suspending.stop())
    return { leaver, owner, cases, items: await itemsOf(cases) }
  }

  async function ownStates(cases: readonly Case[]): Promise<string[]> {
    const rows = await engine.db.store.query<{ state: string }>(
      "select distinct state from closure_item where credential_id = any($1::uuid[]) and relation = 'own'",
      [cases.map(({ credential }) => credential)],
    )
    return rows.map(({ state }) => state)
  }

  test.each(['before_look', 'before_commit:planned', 'after_commit:rotating'])('and comes back, at %s', async (where) => {
    const { leaver, owner, cases, items } = await waiting()
    await begin(resumeIdentity, owner)
    const first = await Child.start(engine, { where, rotations: items })
    await first.sprung()
    const second = await Child.start(engine)
    await reached(cases, 'rotated').finally(() => second.stop())
    for (const one of cases) {
      expect(await opens(one.yard, one.account, one.secret)).toBe(false)
      expect(await story(one, leaver)).toEqual(['planned', 'handed_over', 'retried', 'rotating', 'rotated'])
    }
    expect(await fsckCredentials(engine.db.store)).toEqual([])
  })

  test.each(['before_commit:proven_dead', 'after_commit:proven_dead'])('and leaves as well, at %s', async (where) => {
    const { leaver, owner, cases, items } = await waiting()
    await begin(offboardIdentity, owner)
    const first = await Child.start(engine, { where, rotations: items })
    await first.sprung()
    const second = await Child.start(engine)
    await reached(cases, 'proven_dead').finally(() => second.stop())
    for (const one of cases) {
      expect(await opens(one.yard, one.account, one.secret)).toBe(false)
      expect(await story(one, leaver)).toEqual(['planned', 'handed_over', 'proven_dead'])
      expect((await story(one, owner)).at(-1)).toBe('proven_dead')
    }
    expect(await fsckCredentials(engine.db.store)).toEqual([])
  })
})
