/** Who made what is there already, as the migration finds it: from the actor on record, and from what the log told. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, SCHEMA_FOLDER, type TestDatabase } from '../../test/lab/database.ts'
import { append } from '../evidence/index.ts'
import { makeCtx, newId } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await freshDatabase()
})
afterAll(() => db.drop())

const [ada, agent, maker, owner, token] = [newId(), newId(), newId(), newId(), newId()]
const ACTORS: readonly (readonly [string, readonly string[] | null])[] = [
  [`person:${ada}`, [ada]],
  [`agent:${agent} for ${ada}`, [ada, agent].sort()],
  [`token:${token}`, [maker, owner].sort()],
  [`token:${newId()}`, null],
  ['setup', null],
]

/** One of each, made by this actor; resolves with their ids by table. */
async function make(tx: Tx, actor: string): Promise<Record<string, string>> {
  const ids = { issuer: newId(), issuer_rule: newId(), notify_channel: newId(), login_provider: newId(), scim_token: newId() }
  const provider = newId()
  await tx.query(
    `insert into issuer (id, name, type, origin, audience, keys_from, algorithms, max_token_age_seconds, clock_skew_seconds,
       keys_max_age_seconds, replay, created_at, created_by)
     values ($1::uuid, $1::uuid::text, 'oidc', $1::uuid::text, 'x', 'discovery', '{RS256}', 60, 30, 300, 'once', now(), $2)`,
    [ids.issuer, actor],
  )
  await tx.query(
    `insert into issuer_rule (id, issuer_id, part, identity_id, claims, prefixes, hardware, created_at, created_by)
     values ($1, $2, 'subject', $1, '{"sub":"x"}', '{}', false, now(), $3)`,
    [ids.issuer_rule, ids.issuer, actor],
  )
  await tx.query(
    `insert into notify_channel (id, name, kind, settings, created_at, created_by)
     values ($1::uuid, $1::uuid::text, 'webhook', '{}', now(), $2)`,
    [ids.notify_channel, actor],
  )
  await tx.query(
    `insert into login_provider (id, name, issuer, client_id, auth, scopes, acr, amr, aal, max_age_seconds, link_by_email)
     values ($1::uuid, $1::uuid::text, $1::uuid::text, 'x', 'none', 'openid', '{}', '{}', 1, 60, false)`,
    [ids.login_provider],
  )
  await tx.query(
    `insert into scim_provider (id, name, tenancy, offboard_after_seconds, created_at)
     values ($1::uuid, $1::uuid::text, 'default', 0, now())`,
    [provider],
  )
  await tx.query("insert into scim_token (id, provider_id, hash, created_at) values ($1, $2, decode(md5($1::uuid::text), 'hex'), now())", [
    ids.scim_token,
    provider,
  ])
  const event = { log: 'identity', subject: 'x' } as const
  await append(tx, makeCtx(actor, 'test'), [
    { ...event, type: 'login_provider.added', links: { login_provider: ids.login_provider } },
    { ...event, type: 'scim_provider.added', links: { scim_provider: provider } },
    // An earlier rotation by somebody else, of a token that is not this one.
    { ...event, type: 'scim_provider.token_rotated', actor: 'person:x', at: new Date(0), links: { scim_provider: provider } },
  ])
  return ids
}

test('issuers, rules, directories’ tokens, login providers and channels from before get their makers', async () => {
  const text = readFileSync(`${SCHEMA_FOLDER}/0022_makers.sql`, 'utf8')
  const end = 'drop function pg_temp.makers_of(text);'
  const statements = text.slice(text.indexOf('create function'), text.indexOf(end) + end.length).split(';\n')
  const made: [Record<string, string>, readonly string[] | null][] = []
  await db.store.inTx(async (tx) => {
    await tx.query(
      `insert into api_token (id, name, hash, identity_id, makers, created_by, expires_at)
       values ($1, 'old', decode('00', 'hex'), $2, array[$3::uuid], 'x', now())`,
      [token, owner, maker],
    )
    for (const [actor, makers] of ACTORS) made.push([await make(tx, actor), makers])
  })
  await db.store.inTx(async (tx) => {
    for (const one of statements) await tx.query(one)
  })
  for (const [ids, makers] of made) {
    for (const [table, id] of Object.entries(ids)) {
      const [row] = await db.store.query<{ makers: string[] | null }>(`select makers from ${table} where id = $1`, [id])
      expect([table, row?.makers]).toEqual([table, makers])
    }
  }
})
