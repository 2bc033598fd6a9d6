/**
 * Evidence events per second with commit, against bare inserts of one row with commit on the same server in the same run, one caller
 * and eight at once; and how many a second the sequencer numbers, hashes and signs.
 */

import { append, newSigningSeed, sequence, signerFromSeed } from '../src/evidence/index.ts'
import { makeCtx } from '../src/kernel/index.ts'
import { freshDatabase, stopServer } from '../test/lab/database.ts'
import { report, timed } from './report.ts'

const EVENTS = Number(process.argv[2] ?? 4_000)
const ctx = makeCtx('bench', 'bench')
const event = (n: number) => ({
  log: 'credential' as const,
  type: 'rotation.staged',
  subject: `orders-${n}`,
  data: { fingerprint: 'abcdefghijklmnop' },
})

async function perSecond(callers: number, one: (n: number) => Promise<unknown>): Promise<number> {
  let next = 0
  const ms = await timed(async () => {
    await Promise.all(
      Array.from({ length: callers }, async () => {
        while (next < EVENTS) await one(next++)
      }),
    )
  })
  return (EVENTS / ms) * 1000
}

const { store, drop } = await freshDatabase()
await store.query('create table bare (id bigint generated always as identity primary key, body text not null)')
const body = JSON.stringify({ v: 1, ...event(1), at: '2026-01-01T00:00:00.000Z', actor: 'bench', links: {} })
const figures: Record<string, string> = {}
let appended = 0
for (const callers of [1, 8]) {
  await perSecond(callers, () => store.query('insert into bare (body) values ($1)', [body]))
  const bare = await perSecond(callers, () => store.query('insert into bare (body) values ($1)', [body]))
  const ours = await perSecond(callers, (n) => store.inTx((tx) => append(tx, ctx, [event(n)])))
  appended += EVENTS
  figures[`bare insert with commit, ${callers} at once, per second`] = bare.toFixed(0)
  figures[`evidence event with commit, ${callers} at once, per second`] = ours.toFixed(0)
  figures[`ratio, ${callers} at once`] = (ours / bare).toFixed(2)
}
const signer = signerFromSeed('bench', newSigningSeed())
const sequencedMs = await timed(async () => {
  while ((await sequence(store, ctx, signer)) > 0);
})
figures['numbered, hashed and signed, per second'] = ((appended / sequencedMs) * 1000).toFixed(0)
report('evidence', figures)
await drop()
await stopServer()
process.exit(0)
