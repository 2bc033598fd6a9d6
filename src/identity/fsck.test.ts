/** Tokens: what the table says against what the log says. Each column that is changed by hand is found. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { makeCtx, newId } from '../kernel/index.ts'
import { defaultPolicies, Policies } from '../policy/index.ts'
import { allowed, permitted, principal } from '../policy/testing.ts'
import type { Tx } from '../store/index.ts'
import {
  createToken,
  ensureAdminToken,
  proveDeadTokens,
  putIdentities,
  revokeToken,
  rotateToken,
  type TokenInput,
  tokenFindings,
} from './index.ts'

const ctx = makeCtx('test', 'fsck')
const policies = new Policies(defaultPolicies())
const admin = principal({ id: newId(), roles: ['bootstrap-admin'] })
const OTHER = '01890000-0000-7000-8000-000000000000'
const dbs: TestDatabase[] = []
let db: TestDatabase
afterAll(async () => {
  for (const one of dbs) await one.drop()
})

async function fresh(): Promise<TestDatabase> {
  const made = await freshDatabase()
  dbs.push(made)
  return made
}

const join = async (name: string, kind: 'human' | 'workload' | 'agent') =>
  db.store.inTx((tx) => putIdentities(tx, ctx, permitted(ctx), [{ name, kind, owner: 'team', purpose: 'tests', environment: 'test' }]))

function make(name: string, more: Partial<TokenInput> = {}) {
  const plain = { roles: ['operator'], scope: null, environments: null, expiresSeconds: null, identity: null, actsFor: null }
  const input = { ...plain, name, reason: 'tests', force: false, ...more }
  return createToken({ store: db.store, policies }, ctx, policies.allow(ctx, admin, 'token:create'), admin, input)
}

const revoke = (token: string, force = false) => {
  const input = { token, reason: 'was in a file', force }
  return revokeToken({ store: db.store, policies }, ctx, allowed(ctx, 'token:revoke'), input)
}

/** Of each sort one: limited, of an agent, replaced and its follower, revoked and proven dead, and the first. */
async function fleet(): Promise<void> {
  await ensureAdminToken(db.store, ctx, async () => undefined)
  await join('ada', 'human')
  await join('bot', 'agent')
  await make('limited', { scope: ['rotation:start'], environments: ['test'], expiresSeconds: 3600, identity: 'ada' })
  await make('agents', { scope: ['rotation:start'], environments: ['test'], identity: 'bot', actsFor: 'ada' })
  await make('turned', { scope: ['rotation:start'] })
  const turn = { token: 'turned', overlapSeconds: 60, expiresSeconds: 7200 }
  await rotateToken({ store: db.store, policies }, ctx, policies.allow(ctx, admin, 'token:rotate'), admin, turn)
  await make('gone')
  await revoke('gone')
  expect(await proveDeadTokens(db.store, ctx)).toBe(1)
}

class Undo extends Error {}

/** What is found while `change` holds; nothing of it stays. */
async function foundAfter(change: (tx: Tx) => Promise<unknown>): Promise<string[]> {
  let found: string[] = []
  const work = db.store.inTx(async (tx) => {
    await change(tx)
    found = (await tokenFindings(tx)).map(({ where, what }) => `${where}: ${what}`)
    throw new Undo()
  })
  await expect(work).rejects.toBeInstanceOf(Undo)
  return found
}

describe('a token', () => {
  beforeAll(async () => {
    db = await fresh()
    await fleet()
  })

  test('that was made, turned, revoked and proven dead by the book is in order', async () => {
    expect(await tokenFindings(db.store)).toEqual([])
  })

  const old = `name = 'turned' and replaced_by is not null`
  const CHANGES: readonly (readonly [column: string, set: string, where: string])[] = [
    ['name', `'x'`, `name = 'limited'`],
    ['scope', 'null', `name = 'limited'`],
    ['scope', `'{rotation:start,policy:activate}'`, `name = 'agents'`],
    ['scope', 'null', `name = 'turned' and replaced_by is null`],
    ['environments', 'null', `name = 'limited'`],
    ['environments', `'{test,production}'`, `name = 'agents'`],
    ['expires_at', 'null', `name = 'limited'`],
    ['expires_at', `expires_at + interval '1 year'`, `name = 'limited'`],
    ['expires_at', `expires_at + interval '1 year'`, old],
    ['expires_at', `now()`, `name = 'admin'`],
    ['identity_id', `'${OTHER}'`, `name = 'limited'`],
    ['identity_id', `'${OTHER}'`, `name = 'gone'`],
    ['identity_id', 'null', `name = 'limited'`],
    ['follows_identity', 'true', `name = 'limited'`],
    ['acts_for_id', `'${OTHER}'`, `name = 'agents'`],
    ['acts_for_id', 'null', `name = 'agents'`],
    ['created_by', `'x'`, `name = 'limited'`],
    ['created_by', `'x'`, `name = 'admin'`],
    ['replaced_by', 'null', old],
    ['replaced_by', 'id', `name = 'limited'`],
    ['revoked_at', 'null', `name = 'gone'`],
    ['revoked_at', `revoked_at - interval '1 day'`, `name = 'gone'`],
    ['revoked_by', 'null', `name = 'gone'`],
    ['revoked_by', `'x'`, `name = 'gone'`],
    ['revoked_by', `'x'`, `name = 'limited'`],
    ['revoke_reason', `'x'`, `name = 'gone'`],
    ['revoke_reason', `'x'`, `name = 'limited'`],
    ['forced', 'true', `name = 'gone'`],
    ['proven_dead_at', 'null', `name = 'gone'`],
    ['proven_dead_at', `proven_dead_at - interval '1 day'`, `name = 'gone'`],
    ['proven_dead_at', 'now()', `name = 'limited'`],
  ]
  test.each(CHANGES)('whose %s was set to %s where %s is found', async (column, set, where) => {
    const found = await foundAfter((tx) => tx.query(`update api_token set ${column} = ${set} where ${where}`))
    expect(found).toEqual([expect.stringMatching(new RegExp(`^token .*: Its ${column} is .* by the table, .* by the log\\.$`))])
  })

  test('every column is compared, but for when it was made and last used', async () => {
    const columns = await db.store.query<{ name: string }>(
      "select column_name as name from information_schema.columns where table_name = 'api_token' and table_schema = current_schema()",
    )
    const otherwise = ['id', 'hash', 'makers', 'created_at', 'last_used_at']
    const compared = [...new Set([...CHANGES.map(([column]) => column), ...otherwise])]
    expect(compared.sort()).toEqual(columns.map(({ name }) => name).sort())
  })

  test('that is gone from the table is found, and one brought back to life with all that ended it', async () => {
    expect(await foundAfter((tx) => tx.query(`delete from api_token where name = 'gone'`))).toEqual([
      expect.stringMatching(/^token gone .*: The log knows it; the table does not\.$/),
    ])
    const alive = 'revoked_at = null, revoked_by = null, revoke_reason = null, proven_dead_at = null'
    expect(await foundAfter((tx) => tx.query(`update api_token set ${alive} where name = 'gone'`))).toHaveLength(4)
  })

  test('that an operator revoked in the table is no finding: it opens nothing', async () => {
    expect(await foundAfter((tx) => tx.query('update api_token set revoked_at = now() where revoked_at is null'))).toEqual([])
  })

  test('whose events are from before the times were told is held to what they tell, and to no more', async () => {
    const older = async (tx: Tx) => {
      await tx.query("set local session_replication_role = 'replica'")
      await tx.query(
        `update evidence_event set body = jsonb_set(body::jsonb, '{data}', (body::jsonb -> 'data') - 'revokedAt' - 'provenDeadAt')::text
          where body::jsonb ->> 'type' in ('token.revoked', 'token.proven_dead')`,
      )
    }
    expect(await foundAfter(older)).toEqual([])
    const changed = async (set: string) =>
      foundAfter(async (tx) => {
        await older(tx)
        await tx.query(`update api_token set ${set} where name = 'gone'`)
      })
    expect(await changed(`revoked_at = now(), proven_dead_at = now()`)).toEqual([])
    expect(await changed('revoked_at = null, proven_dead_at = null')).toEqual([
      expect.stringContaining('Its revoked_at is missing in the table'),
      expect.stringContaining('Its proven_dead_at is missing in the table'),
    ])
    expect(await changed(`forced = true, revoked_by = 'x'`)).toHaveLength(2)
  })
})

test('the mark of a last way in that was taken away is compared, and that of one that was not the last', async () => {
  db = await fresh()
  await ensureAdminToken(db.store, ctx, async () => undefined)
  await make('other')
  await revoke('other', true)
  await revoke('admin', true)
  expect(await tokenFindings(db.store)).toEqual([])
  expect(await foundAfter((tx) => tx.query('update api_token set forced = not forced'))).toEqual([
    expect.stringContaining('Its forced is false by the table, true by the log.'),
    expect.stringContaining('Its forced is true by the table, false by the log.'),
  ])
})
