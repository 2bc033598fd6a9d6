/** Who gets no value any more. */
import { idsByName, recordsById } from '../identity/index.ts'
import type { Sql } from '../store/index.ts'
import { whoseConsumer } from './consumer.whose.ts'
import type { Work } from './rotation.store.ts'

/**
 * Takes out of each rotation the consumers of identities that are suspended or gone (`whoseConsumer`): neither their files get the new
 * value, nor are they waited for. One that is nobody's that is known stays.
 */
export async function withoutLeavers(sql: Sql, works: readonly Work[]): Promise<readonly Work[]> {
  const used = works.filter(({ consumers, credential }) => consumers.length > 0 && credential.identity !== null)
  if (used.length === 0) return works
  const consumers = used.flatMap((work) => work.consumers)
  const named = await idsByName(
    sql,
    consumers.flatMap(({ name, identity }) => (identity === null ? [name] : [])),
  )
  const own = used.flatMap(({ credential }) => credential.identity ?? [])
  const records = await recordsById(sql, [...named.values(), ...consumers.flatMap(({ identity }) => identity ?? []), ...own])
  return works.map((work) => {
    const holder = records.get(work.credential.identity ?? '')
    const isOut = (consumer: Work['consumers'][number]) => {
      const whose = records.get(whoseConsumer(consumer, holder, named) ?? '')
      return whose !== undefined && whose.status !== 'active'
    }
    const { in: kept = [], out: leftOut = [] } = Object.fromEntries(
      Map.groupBy(work.consumers, (consumer) => (isOut(consumer) ? ('out' as const) : ('in' as const))),
    )
    return leftOut.length === 0 ? work : { ...work, consumers: kept, leftOut }
  })
}
