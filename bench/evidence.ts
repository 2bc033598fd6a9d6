/**
 * Evidence events per second with commit, against bare inserts of one row with commit on the same server in the same run, one caller
 * and eight at once; and how many a second the sequencer numbers, hashes and signs. The two take turns in short slices, and the ratio
 * is the median over the pairs, so that whatever else the machine does hits both.
 */

import { append, newSigningSeed, sequence, signerFromSeed } from '../src/evidence/index.ts'
import { makeCtx } from '../src/kernel/index.ts'
import { freshDatabase, stopServer } from '../test/lab/database.ts'
import { median, range, report, timed } from './report.ts'

/** Pairs of slices for each number of callers. */
const PAIRS = Number(process.argv[2] ?? 12)
const SLICE = 500
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
        while (next < SLICE) await one(next++)
      }),
    )
  })
  return (SLICE / ms) * 1000
}

const { store, drop } = await freshDatabase()
await store.query('create table bare (id bigint generated always as identity primary key, body text not null)')
const body = JSON.stringify({ v: 1, ...event(1), at: '2026-01-01T00:00:00.000Z', actor: 'bench', links: {} })
const figures: Record<string, string> = {}
let appended = 0
for (const callers of [1, 8]) {
  const insert = () => perSecond(callers, () => store.query('insert into bare (body) values ($1)', [body]))
  const tell = () => perSecond(callers, (n) => store.inTx((tx) => append(tx, ctx, [event(n)])))
  // Connections, plans and compiled code of both are there before anything counts.
  await insert()
  await tell()
  const [bare, ours]: [number[], number[]] = [[], []]
  for (let pair = 0; pair < PAIRS; pair++) {
    const turn = [async () => void bare.push(await insert()), async () => void ours.push(await tell())]
    for (const one of pair % 2 === 0 ? turn : turn.reverse()) await one()
  }
  appended += SLICE * (PAIRS + 1)
  figures[`bare insert with commit, ${callers} at once, per second`] = median(bare).toFixed(0)
  figures[`evidence event with commit, ${callers} at once, per second`] = median(ours).toFixed(0)
  figures[`ratio, ${callers} at once, median of ${PAIRS} pairs`] = range(ours.map((each, pair) => each / (bare[pair] ?? 0)))
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
