import type { Sql, Tx } from '../store/index.ts'

/** Takes rotations whose look for late sessions is due; they are due again in a minute unless `finishRecheck` says that it was made. */
export async function claimRechecks(sql: Sql, limit: number): Promise<string[]> {
  const rows = await sql.query<{ id: string }>(
    `with due as (select id from rotation where recheck_at <= now() order by recheck_at limit $1 for update skip locked)
     update rotation r set recheck_at = now() + interval '1 minute' from due where r.id = due.id returning r.id`,
    [limit],
  )
  return rows.map((row) => row.id)
}

/** False if another process made it. */
export async function finishRecheck(sql: Sql, id: string): Promise<boolean> {
  const rows = await sql.query('update rotation set recheck_at = null where id = $1 and recheck_at is not null returning id', [id])
  return rows.length === 1
}

/**
 * Locks the rotation's credential against new rotations until the transaction ends. False if what the rotation made is not what counts any
 * more: another one is under way, its new version is not the current one, or a closure has it (and has stopped its logins).
 */
export async function lockIfSettled(tx: Tx, id: string): Promise<boolean> {
  await tx.query('select c.id from credential c join rotation r on r.credential_id = c.id where r.id = $1 for update of c', [id])
  const rows = await tx.query(
    `select r.id from rotation r join version v on v.id = r.new_version_id and v.state = 'current'
      where r.id = $1 and not exists (select 1 from rotation l where l.credential_id = r.credential_id and l.ended_at is null)
        and not exists (select 1 from closure_item i where i.credential_id = r.credential_id and i.ended_at is null)`,
    [id],
  )
  return rows.length === 1
}

/** What a version was answered, as its row keeps it. */
export async function keepProbe(tx: Tx, version: string, probe: object): Promise<void> {
  await tx.query('update version set last_probe = $2::jsonb where id = $1', [version, JSON.stringify(probe)])
}
