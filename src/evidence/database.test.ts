import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../test/lab/database.ts'
import { type Json, makeCtx, Secret } from '../kernel/index.ts'
import type { Store } from '../store/index.ts'
import { append } from './append.ts'
import { verifyBundle } from './bundle.verify.ts'
import { openCheckpoint } from './checkpoint.ts'
import { type EvidenceEvent, eventLeafHash, type LogName } from './event.ts'
import { drain, fleetEvents, numbered, rotationEvents, testSigner, tickingCtx } from './evidence.kit.ts'
import { fsck } from './fsck.ts'
import { verifyConsistency, verifyInclusion } from './merkle.ts'
import { formatVerifierKey, newSigningSeed, signerFromSeed } from './note.ts'
import { consistency, exportBundle, inclusion, publishedKey } from './prove.ts'
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
const heads = (log: LogName) =>
  store.query<{ size: number; root: Uint8Array; note: string }>('select * from evidence_checkpoint where log = $1 order by size', [log])

async function leaves(log: LogName): Promise<{ leaf_index: number; body: string; id: number }[]> {
  return store.query('select id, leaf_index, body from evidence_event where log = $1 and leaf_index is not null order by leaf_index', [log])
}

describe('appending', () => {
  test('commits and rolls back with the transaction it is in, in the order given', async () => {
    await write([numbered(1), numbered(2)])
    await expect(
      store.inTx(async (tx) => {
        await append(tx, ctx, [numbered(3)])
        throw new Error('changed my mind')
      }),
    ).rejects.toThrow('changed my mind')
    await write([])
    const rows = await store.query<{ subject: string }>('select subject from evidence_event order by id')
    expect(rows.map(({ subject }) => subject)).toEqual(['s1', 's2'])
  })

  test('writes nothing at all if one event carries a secret', async () => {
    const secret = Secret.fromText('canary-canary') as unknown as Json
    await expect(write([numbered(1), { ...numbered(2), data: { secret } }])).rejects.toMatchObject({ code: 'internal' })
    expect(await store.query('select 1 from evidence_event')).toHaveLength(0)
  })

  test.each([
    ["update evidence_event set body = 'x'"],
    ['update evidence_event set leaf_index = 5 where leaf_index = 0'],
    ['update evidence_event set leaf_index = null where leaf_index = 0'],
    ["update evidence_event set leaf_index = 9, subject = 'x' where leaf_index is null"],
    ['delete from evidence_event'],
    ['truncate evidence_event'],
    ['update evidence_node set hash = hash'],
    ['delete from evidence_node'],
    ['update evidence_checkpoint set at = now()'],
    ['truncate evidence_checkpoint'],
    ['delete from evidence_key'],
  ])('is final: %s is refused by the database', async (sql) => {
    await write([numbered(1)])
    await drain(store)
    await write([numbered(2)])
    await expect(store.query(sql)).rejects.toMatchObject({ code: 'database_failed', detail: expect.stringContaining('append-only') })
  })
})

describe('the sequencer', () => {
  test('places both logs, signs one checkpoint each, and has nothing to do the second time', async () => {
    await write([...fleetEvents(), ...rotationEvents(0)])
    expect(await sequence(store, ctx, signer)).toBe(15)
    expect(await sequence(store, ctx, signer)).toBe(0)
    expect((await heads('credential')).map(({ size }) => size)).toEqual([13])
    expect((await heads('identity')).map(({ size }) => size)).toEqual([2])
    expect(await publishedKey(store)).toBe(key)
    expect(await fsck(store, ctx, key)).toEqual([])
  })

  test('gives an event that commits late, under a lower id, the next place', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let begun = () => {}
    const inserted = new Promise<void>((resolve) => {
      begun = resolve
    })
    const late = store.inTx(async (tx) => {
      await append(tx, ctx, [numbered(1)])
      begun()
      await held
    })
    await inserted
    await write([numbered(2)])
    expect(await sequence(store, ctx, signer)).toBe(1)
    release()
    await late
    expect(await sequence(store, ctx, signer)).toBe(1)
    const placed = await leaves('credential')
    expect(placed.map(({ id }) => id)).toEqual([2, 1])
    expect(await fsck(store, ctx, key)).toEqual([])
  })

  test('several at once, while many append, lose nothing and place nothing twice', async () => {
    const appenders = Array.from({ length: 6 }, async (_, a) => {
      for (let i = 0; i < 40; i++) await write([numbered(a * 1000 + i)])
    })
    let done = false
    const sequencers = Array.from({ length: 3 }, async () => {
      while (!done) await sequence(store, ctx, signer)
    })
    await Promise.all(appenders)
    done = true
    await Promise.all(sequencers)
    await drain(store)
    const placed = await leaves('credential')
    expect(placed.map(({ leaf_index }) => leaf_index)).toEqual(Array.from({ length: 240 }, (_, i) => i))
    expect(await fsck(store, ctx, key)).toEqual([])
  })

  test('leaves no trace of a batch that did not commit', async () => {
    await write([numbered(1)])
    await drain(store)
    await write([numbered(2), numbered(3)])
    const failing: typeof signer = {
      ...signer,
      sign: () => {
        throw new Error('power cut')
      },
    }
    await expect(sequence(store, ctx, failing)).rejects.toThrow('power cut')
    expect(await leaves('credential')).toHaveLength(1)
    expect(await drain(store)).toBe(2)
    expect(await fsck(store, ctx, key)).toEqual([])
  })

  test('survives its connection being killed at any statement', async () => {
    await write(Array.from({ length: 20 }, (_, i) => numbered(i)))
    for (let statement = 1; statement < 12; statement++) {
      let seen = 0
      const killing: Store = {
        ...store,
        inTx: (use) =>
          store.inTx((tx) =>
            use({
              ...tx,
              query: async (text, params) => {
                if (++seen === statement) {
                  const [own] = await tx.query<{ pid: number }>('select pg_backend_pid() as pid')
                  await store.query('select pg_terminate_backend($1)', [own?.pid])
                }
                return tx.query(text, params)
              },
            }),
          ),
      }
      const failed = await sequence(killing, ctx, signer).then(
        () => false,
        () => true,
      )
      if (!failed) break
      expect(await leaves('credential')).toHaveLength(0)
    }
    await drain(store)
    expect(await leaves('credential')).toHaveLength(20)
    expect(await fsck(store, ctx, key)).toEqual([])
  })

  test('does not sign with another key, and does not build on a damaged tree', async () => {
    await write([numbered(1)])
    await drain(store)
    await write([numbered(2)])
    await expect(sequence(store, ctx, signerFromSeed('rekey.example', newSigningSeed()))).rejects.toMatchObject({ code: 'conflict' })
    await tamper("update evidence_node set hash = decode(repeat('00', 32), 'hex')")
    await expect(sequence(store, ctx, signer)).rejects.toMatchObject({ code: 'evidence_damaged' })
  })
})

describe('proofs', () => {
  test('of every leaf at every published size, and between all published sizes, verify', async () => {
    for (const count of [1, 4, 2, 6]) {
      await write(Array.from({ length: count }, (_, i) => numbered(i)))
      await drain(store)
    }
    const [published, placed] = [await heads('credential'), await leaves('credential')]
    expect(published.map(({ size }) => size)).toEqual([1, 5, 7, 13])
    for (const [i, head] of published.entries()) {
      expect(openCheckpoint(head.note, signer, 'credential')).toMatchObject({ size: head.size, root: Buffer.from(head.root) })
      for (const { leaf_index, body } of placed.slice(0, head.size)) {
        const proof = await inclusion(store, 'credential', leaf_index, head.size)
        expect(verifyInclusion(leaf_index, head.size, eventLeafHash(body), proof, head.root)).toBe(true)
      }
      for (const older of published.slice(0, i + 1)) {
        const proof = await consistency(store, 'credential', older.size, head.size)
        expect(verifyConsistency(older.size, head.size, older.root, head.root, proof)).toBe(true)
      }
    }
  })

  test('of what is not published are not found', async () => {
    await write([numbered(1)])
    await drain(store)
    await write([numbered(2)])
    for (const [index, size] of [
      [0, 2],
      [1, 1],
      [-1, 1],
      [0, 0],
      [0.5, 1],
      [0, Number.NaN],
    ] as const) {
      await expect(inclusion(store, 'credential', index, size)).rejects.toMatchObject({
        code: expect.stringMatching(/not_found|bad_input/),
      })
    }
    await expect(consistency(store, 'credential', 0, 1)).rejects.toMatchObject({ code: 'not_found' })
    await expect(consistency(store, 'identity', 1, 1)).rejects.toMatchObject({ code: 'not_found' })
  })
})

describe('an exported bundle', () => {
  test('holds everything published, verifies, and counts what is not', async () => {
    await expect(exportBundle(store, ctx, signer)).rejects.toMatchObject({ code: 'not_found' })
    await write(fleetEvents())
    await drain(store)
    await write(rotationEvents(0))
    await drain(store)
    await write([numbered(1), numbered(2)])
    const bundle = await exportBundle(store, ctx, signer)
    expect(verifyBundle(Buffer.from(bundle), key)).toMatchObject({
      ok: true,
      logs: { credential: { size: 13, events: 13, complete: true }, identity: { size: 2, events: 2, complete: true } },
    })
    expect(bundle).toContain('2 newer events')
    // The same again but for the date, and so for the signature over it: nothing else was changed by looking.
    const again = await exportBundle(store, ctx, signer)
    expect(undated(again)).toBe(undated(bundle))
    expect(again).not.toBe(bundle)
  })

  test('may be of one credential or of late events only, and then says so', async () => {
    await write([...fleetEvents(), ...rotationEvents(0), ...rotationEvents(1)])
    await drain(store)
    const one = await exportBundle(store, ctx, signer, { credential: 'orders-api-1@orders-db' })
    expect(verifyBundle(Buffer.from(one), key)).toMatchObject({ ok: true, logs: { credential: { size: 22, events: 9, complete: false } } })
    expect(one).not.toContain('orders-api-0@')
    const [row] = await store.query<{ at: Date }>('select at from evidence_event where log = $1 and leaf_index = 20', ['credential'])
    const late = await exportBundle(store, ctx, signer, { since: row?.at })
    expect(verifyBundle(Buffer.from(late), key)).toMatchObject({ ok: true, logs: { credential: { events: 2, complete: false } } })
  })

  test('is not signed where the database holds no longer what was signed, or by another key', async () => {
    await write([...fleetEvents(), ...rotationEvents(0)])
    await drain(store)
    const other = signerFromSeed('rekey.example', newSigningSeed())
    await expect(exportBundle(store, ctx, other)).rejects.toMatchObject({ code: 'evidence_damaged' })
    await tamper(`delete from evidence_event where log = 'credential' and leaf_index = 3`)
    await expect(exportBundle(store, ctx, signer)).rejects.toMatchObject({
      code: 'evidence_damaged',
      message: /credential log are missing/,
    })
    await tamper(`update evidence_checkpoint set size = 12 where log = 'credential'`)
    await expect(exportBundle(store, ctx, signer)).rejects.toMatchObject({ code: 'evidence_damaged', message: /another size/ })
  })

  test('is of one moment: what is numbered while it is made is not in it, and is counted as pending', async () => {
    await write([...fleetEvents(), ...rotationEvents(0)])
    await drain(store)
    await write([numbered(1)])
    let sequenced = 0
    const busy: Store = {
      ...store,
      onConnection: (use) =>
        store.onConnection((sql) =>
          use({
            query: async (text, params) => {
              if (sequenced === 0 && /count/.test(text)) sequenced = await drain(store)
              return sql.query(text, params)
            },
          }),
        ),
    }
    const bundle = await exportBundle(busy, ctx, signer)
    expect(sequenced).toBe(1)
    expect(verifyBundle(Buffer.from(bundle), key)).toMatchObject({ ok: true, logs: { credential: { size: 13, events: 13, pending: 1 } } })
  })

  test('stops when nobody waits for it any more', async () => {
    await write([numbered(1)])
    await drain(store)
    const gone = makeCtx('test', 'x', { signal: AbortSignal.abort() })
    await expect(exportBundle(store, gone, signer)).rejects.toThrow(/abort/i)
  })
})

/** A bundle without when it was exported: its date, and the note that signs it. */
function undated(bundle: string): string {
  return bundle
    .replace(/"exportedAt":"[^"]*"/, '')
    .replace(/"note":"rekey\.example\/bundle[^"]*"/, '')
    .replace(/Exported [^,]*,/, '')
}

/** What someone can do who owns the database: the triggers do not stop them, the hashes tell on them. */
async function tamper(sql: string, params: readonly unknown[] = []): Promise<void> {
  await store.inTx(async (tx) => {
    await tx.query("set local session_replication_role = 'replica'")
    await tx.query(sql, params)
  })
}
