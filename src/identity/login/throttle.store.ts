import type { Sql, Tx } from '../../store/index.ts'

export async function blockedSeconds(sql: Sql, key: string): Promise<number> {
  const [row] = await sql.query<{ seconds: number }>(
    `select ceil(extract(epoch from blocked_until - now()))::integer as seconds
       from login_counter where key = $1 and blocked_until > now()`,
    [key],
  )
  return row?.seconds ?? 0
}

/** One more failure of a source; after `quietSeconds` without one it counts anew. Blocks for 1, 2, 4, … seconds beyond the free ones. */
export async function addSourceFailure(sql: Sql, key: string, free: number, mostSeconds: number, quietSeconds: number): Promise<void> {
  await sql.query(
    `insert into login_counter as c (key, failures) values ($1, 1)
     on conflict (key) do update set
       failures = case when c.changed_at < now() - make_interval(secs => $4) then 1 else c.failures + 1 end,
       blocked_until = case when c.changed_at >= now() - make_interval(secs => $4) and c.failures >= $2
         then now() + make_interval(secs => least($3, power(2, least(c.failures - $2, 20)))) end,
       changed_at = now()`,
    [key, free, mostSeconds, quietSeconds],
  )
  await sql.query(
    `delete from login_counter where ctid in (select ctid from login_counter
      where key like 'source:%' and changed_at < now() - make_interval(secs => $1) order by changed_at limit 100 for update skip locked)`,
    [quietSeconds],
  )
}

/** Takes one of `most` tries in a row before it is made, so that a crash counts as a failure. Null: there is none left. */
export async function takeTry(sql: Sql, key: string, most: number): Promise<number | null> {
  const [row] = await sql.query<{ failures: number }>(
    `insert into login_counter as c (key, failures) values ($1, 1)
     on conflict (key) do update set failures = c.failures + 1, changed_at = now() where c.failures < $2 returning failures`,
    [key, most],
  )
  return row?.failures ?? null
}

export async function forget(tx: Sql, key: string): Promise<void> {
  await tx.query('delete from login_counter where key = $1', [key])
}

/** Every counter of one authenticator. */
export async function forgetAll(tx: Tx, prefix: string): Promise<void> {
  await tx.query('delete from login_counter where starts_with(key, $1)', [prefix])
}

/** The id of the device with this hash: known to `identity`, or to anybody at all if that is null. Null if it is not known. */
export async function knownDevice(sql: Sql, hashHex: string, identity: string | null): Promise<string | null> {
  const [row] = await sql.query<{ id: string }>(
    `select id from login_device where hash = decode($1, 'hex') and ($2::uuid is null or identity_id = $2) limit 1`,
    [hashHex, identity],
  )
  return row?.id ?? null
}

export async function keepDevice(tx: Tx, id: string, hashHex: string, identity: string): Promise<void> {
  await tx.query(
    `insert into login_device (id, hash, identity_id) values ($1, decode($2, 'hex'), $3)
     on conflict (hash, identity_id) do update set seen_at = now()`,
    [id, hashHex, identity],
  )
}
