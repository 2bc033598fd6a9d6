/** How much a PostgreSQL may say, over plain connections and through TLS. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresLab, startLab } from '../../../test/lab/postgres.contract.ts'
import { LAB_TLS } from '../../../test/lab/tls.ts'
import { Wire } from './wire.ts'

let lab: PostgresLab
beforeAll(async () => {
  lab = await startLab()
}, 60_000)
afterAll(() => lab.stop())

const ways = [
  ['plain', { tls: 'off' }],
  ['TLS', { tls: 'verify-full', ca: LAB_TLS.ca }],
] as const

test.each(ways)('%s: a long answer comes as a list only, and one without end ends the connection', async (_name, way) => {
  const never = new AbortController().signal
  const open = async () => {
    const wire = new Wire({ ...lab.address, ...way }, lab.root.account, lab.root.secret, 60_000)
    await wire.connect(never)
    return wire
  }
  const wire = await open()
  const text = (mib: number) => `SELECT repeat('a', ${mib * 1_000_000}) AS a`
  const ask = (mib: number, size: 'small' | 'large') =>
    wire.query<{ a: string }>(never, { name: `${size} ${mib}`, text: text(mib), size, row: { a: 'string' as const } }, [])
  expect((await ask(1, 'small'))[0]?.a).toHaveLength(1_000_000)
  expect((await ask(12, 'large'))[0]?.a).toHaveLength(12_000_000)
  await expect(ask(2, 'small')).rejects.toHaveProperty('code', 'ANSWER_TOO_LONG')
  expect(wire.dead).toBe(true)
  const other = await open()
  const rows = {
    name: 'rows',
    text: `SELECT repeat('a', 1000) AS a FROM generate_series(1, 50000)`,
    size: 'large',
    row: { a: 'string' },
  } as const
  await expect(other.query(never, rows, [])).rejects.toHaveProperty('code', 'ANSWER_TOO_LONG')
  await expect((await open()).script(never, text(2), {})).rejects.toHaveProperty('code', 'ANSWER_TOO_LONG')
})
