import { eachEvent } from '../evidence/index.ts'
import type { Sql } from '../store/index.ts'
import type { Kek } from './model.ts'
import * as rows from './store.ts'

/**
 * Compares the key-encryption keys with the log: every key but the first of the installation has its `kek.created`, and each is active,
 * retiring or retired as the events say, and no row names one that is retired. Resolves with what does not agree. Writes nothing
 * and needs no key. Throws what the database does.
 */
export async function kekFindings(sql: Sql): Promise<{ readonly where: string; readonly what: string }[]> {
  const told = new Map<string, Kek['state']>()
  const stored = await rows.list(sql)
  const created = new Set<string>()
  const emptied = new Set<string>()
  for await (const { type, subject } of eachEvent(sql, 'credential')) {
    if (type === 'kek.created') created.add(subject)
    if (type === 'kek.rotated') emptied.add(subject)
  }
  const untold = stored.filter(({ id }) => !created.has(id))
  const [first] = untold
  const order = [...(first === undefined ? [] : [first.id]), ...created]
  for (const id of order) told.set(id, emptied.has(id) ? 'retired' : id === order.at(-1) ? 'active' : 'retiring')
  const findings = untold.slice(1).map(({ id }) => ({ where: `kek ${id}`, what: 'The table has it; the log knows nothing of it.' }))
  for (const [id, state] of told) {
    const row = stored.find((kek) => kek.id === id)
    if (row?.state === state) continue
    const what = row === undefined ? 'The log knows it; the table does not.' : `It is ${state} by the log; the table says ${row.state}.`
    findings.push({ where: `kek ${id}`, what })
  }
  // A rotation retires a key once nothing hangs on it, and destroys it: a row that names it cannot be opened, or was changed.
  for (const id of stored.map((kek) => kek.id).filter((one) => emptied.has(one))) {
    const what = `By its row it is wrapped with the key ${id}, which wraps nothing any more by the log.`
    findings.push(...(await rows.wrappedBy(sql, id)).map((where) => ({ where, what })))
  }
  return findings
}
