import type { Sql } from '../store/index.ts'
import { noSystem } from './resources.ts'
import { TARGET_COLUMNS, type TargetRow, targetOf, type Work } from './rotation.store.ts'

/** What a target of a system is opened with, outside of any rotation. Throws `not_found`. */
export async function systemForWork(sql: Sql, name: string): Promise<Pick<Work, 'system' | 'root'>> {
  const [row] = await sql.query<TargetRow>(
    `select ${TARGET_COLUMNS} from system s join credential rc on rc.system_id = s.id and rc.is_root where s.name = $1`,
    [name],
  )
  if (row === undefined) throw noSystem(name)
  return targetOf(row)
}
