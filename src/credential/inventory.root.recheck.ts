/** The second look after a root value was changed by hand: as after a rotation (`recheckDue`), for logins that were under way. */
import { append } from '../evidence/index.ts'
import { type Ctx, messageOf } from '../kernel/index.ts'
import type { Sql, Store, Tx } from '../store/index.ts'
import { systemForWork } from './inventory.system.ts'
import type { RotationParts } from './rotation.run.ts'

const AT_ONCE = 20

/** Notes that sessions from before `mark` are to be looked for after `ms`. */
export async function planRootRecheck(
  tx: Tx,
  of: { readonly version: string; readonly system: string; readonly mark: string },
  ms: number,
) {
  await tx.query(
    `insert into root_recheck (version_id, system_id, mark, due_at) values ($1, $2, $3, now() + make_interval(secs => $4::float8 / 1000))`,
    [of.version, of.system, of.mark, ms],
  )
}

interface Due {
  readonly version: string
  readonly number: number
  readonly mark: string
  readonly system: string
  readonly credential: string
  readonly name: string
}

/** Takes what is due; it is due again in a minute unless it was done. */
async function claimDue(sql: Sql): Promise<Due[]> {
  return sql.query<Due>(
    `with due as (select version_id from root_recheck where due_at <= now() order by due_at limit $1 for update skip locked),
          taken as (update root_recheck r set due_at = now() + interval '1 minute' from due where r.version_id = due.version_id
                    returning r.version_id, r.system_id, r.mark)
     select t.version_id as version, v.number, t.mark, s.name as system, c.id as credential, c.name
       from taken t join version v on v.id = t.version_id join credential c on c.id = v.credential_id join system s on s.id = t.system_id`,
    [AT_ONCE],
  )
}

/** Ends what is left of dead root values (event `root.rechecked`). One that cannot be reached is looked at again a minute later. */
export async function recheckRoots(parts: Pick<RotationParts, 'store' | 'targets'>, ctx: Ctx): Promise<void> {
  for (const due of await claimDue(parts.store)) {
    try {
      await recheck(parts.store, parts.targets, ctx, due)
    } catch (error) {
      ctx.log.warn({ system: due.system, error: messageOf(error) }, 'late sessions of a root value could not be looked for, trying again')
    }
  }
}

async function recheck(store: Store, targets: RotationParts['targets'], ctx: Ctx, due: Due): Promise<void> {
  const { system, root } = await systemForWork(store, due.system)
  const target = await targets.of(store, system, root)
  // Those of Rekey's own processes, which began before, are not among them.
  const late = await target.sessions(ctx, system.rootAccount, { before: due.mark })
  const sessionsEnded = late.length === 0 ? 0 : await target.endSessions(ctx, system.rootAccount, due.mark)
  await store.inTx(async (tx) => {
    const done = await tx.query('delete from root_recheck where version_id = $1 returning version_id', [due.version])
    if (done.length === 0) return
    const links = { credential: due.credential, version: due.version, system: system.id }
    const data = { version: due.number, sessionsEnded }
    await append(tx, ctx, [{ log: 'credential', type: 'root.rechecked', subject: due.name, links, data }])
  })
}
