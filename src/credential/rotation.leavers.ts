/** Whose a consumer is, and who gets no value any more. */
import { idsByName, recordsById } from '../identity/index.ts'
import type { Sql } from '../store/index.ts'
import { isOwnConsumer } from './closure.model.ts'
import type { Work } from './rotation.store.ts'

/**
 * Takes out of each rotation the consumers of identities that are suspended or gone: neither their files get the new value, nor are they
 * waited for. A consumer is whose name it has; else the credential's own identity, if it is called like one of its instances; else
 * nobody's that is known, and it stays.
 */
export async function withoutLeavers(sql: Sql, works: readonly Work[]): Promise<readonly Work[]> {
  const used = works.filter(({ consumers, credential }) => consumers.length > 0 && credential.identity !== null)
  if (used.length === 0) return works
  const ids = await idsByName(sql, [...new Set(used.flatMap(({ consumers }) => consumers.map(({ name }) => name)))])
  const own = used.flatMap(({ credential }) => credential.identity ?? [])
  const records = await recordsById(sql, [...ids.values(), ...own])
  const names = new Set(ids.keys())
  return works.map((work) => {
    const holder = records.get(work.credential.identity ?? '')
    const isOut = (consumer: string) => {
      const named = records.get(ids.get(consumer) ?? '')
      const whose = named ?? (holder !== undefined && isOwnConsumer(consumer, holder.name, names) ? holder : undefined)
      return whose !== undefined && whose.status !== 'active'
    }
    const { in: consumers = [], out: leftOut = [] } = Object.fromEntries(
      Map.groupBy(work.consumers, ({ name }) => (isOut(name) ? ('out' as const) : ('in' as const))),
    )
    return leftOut.length === 0 ? work : { ...work, consumers, leftOut }
  })
}
