import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import type { Store } from '../store/index.ts'
import { append } from './append.ts'
import { originOf, signCheckpoint } from './checkpoint.ts'
import type { EvidenceEvent } from './event.ts'
import { drain, fleetEvents, numbered, rotationEvents, testSigner, tickingCtx } from './evidence.kit.ts'
import { fsck } from './fsck.ts'
import { formatVerifierKey, newSigningSeed, signerFromSeed } from './note.ts'
import { sequence } from './sequence.ts'

const signer = testSigner()
const key = formatVerifierKey(signer)
const ctx = tickingCtx()
let database: TestDatabase
let store: Store

beforeEach(async () => {
  database = await freshDatabase()
  store = database.store
})

afterEach(() => database.drop())

const write = (events: readonly EvidenceEvent[]) => store.inTx((tx) => append(tx, ctx, events))

describe('fsck', () => {
  test.each([
    [
      'a changed body',
      `update evidence_event set body = replace(body, 'a', 'b') where log = 'credential' and leaf_index = 2`,
      'credential event 2',
    ],
    ['a changed column', `update evidence_event set subject = 'x' where log = 'credential' and leaf_index = 3`, 'credential event 3'],
    ['a missing event', `delete from evidence_event where log = 'credential' and leaf_index = 4`, 'credential event 4'],
    ['a last event missing', `delete from evidence_event where log = 'identity' and leaf_index = 1`, 'identity event 1'],
    [
      'a changed leaf hash',
      `update evidence_node set hash = sha256('x') where log = 'credential' and level = 0 and index = 5`,
      'credential event 5',
    ],
    [
      'a changed node',
      `update evidence_node set hash = sha256('x') where log = 'credential' and level = 1 and index = 1`,
      'credential node 1/1',
    ],
    ['a missing node', `delete from evidence_node where log = 'credential' and level = 2 and index = 0`, 'credential node 2/0'],
    ['a changed root', `update evidence_checkpoint set root = sha256('x') where log = 'credential'`, 'credential checkpoint of 13'],
    [
      'a changed note',
      `update evidence_checkpoint set note = replace(note, '13', '12') where log = 'credential'`,
      'credential checkpoint of 13',
    ],
    [
      'a checkpoint with another time',
      `update evidence_checkpoint set at = 'infinity' where log = 'credential'`,
      'credential checkpoint of 13',
    ],
    ['a checkpoint of no log', `update evidence_checkpoint set log = 'other' where log = 'identity'`, 'other checkpoint of 2'],
    ['an event past the end', `update evidence_event set leaf_index = 99 where leaf_index is null`, 'credential log'],
    ['a node past the end', `insert into evidence_node values ('identity', 3, 0, sha256('x'))`, 'identity log'],
  ])('finds %s, and where', async (_, sql, where) => {
    await write([...fleetEvents(), ...rotationEvents(0)])
    await drain(store)
    await write([numbered(1)])
    expect(await fsck(store, ctx, key)).toEqual([])
    await tamper(sql)
    const findings = await fsck(store, ctx, key)
    expect(findings.map((finding) => finding.where)).toContain(where)
  })

  test('names the cause and counts what stands on it: one changed event is two findings, however many hashes are above', async () => {
    for (let round = 0; round < 12; round++) {
      await write(rotationEvents(round))
      await drain(store)
    }
    await tamper(`update evidence_event set body = replace(body, 'a', 'b') where log = 'credential' and leaf_index = 2`)
    const findings = await fsck(store, ctx, key)
    const hashes = findings.filter(({ what }) => what.includes('hash'))
    expect(hashes.map(({ where }) => where)).toEqual(['credential event 2', 'credential log'])
    expect(findings.length).toBeLessThan(5)
  })

  test('finds a checkpoint that our own key signed over another tree', async () => {
    await write(rotationEvents(0))
    await drain(store)
    const forged = { origin: originOf(signer.name, 'credential'), size: 9, root: Buffer.alloc(32), at: '2026-01-02T03:04:05.678Z' }
    await tamper('update evidence_checkpoint set note = $1, at = $2', [signCheckpoint(forged, signer), forged.at])
    expect(await fsck(store, ctx, key)).toEqual([{ where: 'credential checkpoint of 9', what: expect.stringContaining('signed root') }])
  })

  test.each([
    ['was taken away', 'delete from evidence_key', /names none, though it holds signed checkpoints/],
    ['names another key', "update evidence_key set public_key = sha256('x')", /names another key/],
    ['names it otherwise', "update evidence_key set name = 'x'", /names another key/],
  ])('finds that the row of the signing key %s', async (_, sql, what) => {
    await write(rotationEvents(0))
    expect(await fsck(store, ctx, key)).toEqual([])
    await drain(store)
    expect(await fsck(store, ctx, key)).toEqual([])
    await tamper(sql)
    expect(await fsck(store, ctx, key)).toEqual([{ where: 'signing key', what: expect.stringMatching(what) }])
  })

  test('finds a whole history rewritten by someone without the key', async () => {
    await write(rotationEvents(0))
    const forger = signerFromSeed(signer.name, newSigningSeed())
    await sequence(store, ctx, forger)
    expect(await fsck(store, ctx, key)).toEqual([
      { where: 'signing key', what: expect.stringContaining('another key') },
      { where: 'credential checkpoint of 9', what: expect.stringContaining('not signed') },
    ])
  })
})

/** What someone can do who owns the database: the triggers do not stop them, the hashes tell on them. */
async function tamper(sql: string, params: readonly unknown[] = []): Promise<void> {
  await store.inTx(async (tx) => {
    await tx.query("set local session_replication_role = 'replica'")
    await tx.query(sql, params)
  })
}
