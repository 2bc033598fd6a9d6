/** What a directory does to the roles that its people hold: it cannot be refused, so what it breaks is told. */
import { append } from '../../evidence/index.ts'
import { type Ctx, makeCtx, newId } from '../../kernel/index.ts'
import { teamsNamed } from '../../policy/index.ts'
import type { Sql, Tx } from '../../store/index.ts'
import { queueEscalation } from '../notify.queue.ts'
import { setInForce } from '../policyset.inforce.ts'
import { lockPolicies } from '../policyset.store.ts'
import { isChangeable } from '../role.changeable.ts'
import { holdsRoles, rolesAround } from '../role.store.ts'
import { SECURITY_CONTACT } from '../team.model.ts'
import type { ScimClient } from './provider.ts'
import { settleMakers } from './settle.ts'
import * as rows from './way.store.ts'

/**
 * Does `stop`, which takes somebody away on the directory's word. If somebody could change policy before it and nobody can after it, that
 * is on record (`identity.way_lost`), a finding, and told to the security contact, in the same transaction. It is done all the same.
 */
export async function watchWay<T>(tx: Tx, ctx: Ctx, client: ScimClient, identity: string, stop: () => Promise<T>): Promise<T> {
  if (!(await holdsRoles(tx, identity))) return stop()
  return watched(tx, ctx, client, stop, async (lost) => {
    const name = await rows.putWayLost(tx, { identity, ...lost })
    return { id: identity, name, links: { identity } }
  })
}

/** As `watchWay`, of a `change` that takes people out of a team, or the team away. */
export async function watchTeam<T>(tx: Tx, ctx: Ctx, client: ScimClient, team: NamedTeam, change: () => Promise<T>): Promise<T> {
  if ((await rolesAround(tx, team.id)).roles.length === 0) return change()
  return watched(tx, ctx, client, change, async (lost) => {
    await rows.putTeamLost(tx, { team: team.id, name: team.name, ...lost })
    return { ...team, links: { team: team.id } }
  })
}

interface NamedTeam {
  readonly id: string
  readonly name: string
}

type Taken = NamedTeam & { readonly links: Readonly<Record<string, string>> }

async function watched<T>(
  tx: Tx,
  ctx: Ctx,
  { provider }: ScimClient,
  change: () => Promise<T>,
  put: (lost: { readonly provider: string; readonly since: Date }) => Promise<Taken>,
): Promise<T> {
  await lockPolicies(tx)
  const set = await setInForce(tx)
  const before = set !== null && (await isChangeable(tx, ctx, set))
  if (before) await rows.forgetTeamsLost(tx)
  const done = await change()
  if (set === null || !before || (await isChangeable(tx, ctx, set))) return done
  const { id, name, links } = await put({ provider, since: ctx.clock.now() })
  await append(tx, ctx, [{ log: 'identity', type: 'identity.way_lost', subject: name, links, data: { provider } }])
  await queueEscalation(tx, [{ kind: 'team', id: SECURITY_CONTACT }], { event: 'way_lost', id, subject: name, system: provider })
  return done
}

/** After the directory took somebody out of a team: who does not hold both hands any more is forced anew the next time. */
export async function settleHands(tx: Tx, team: string): Promise<void> {
  const { roles, teams } = await rolesAround(tx, team)
  if (roles.length > 0 || (await someNamed(tx, teams))) await settleMakers(tx)
}

/** Whether the policies in force name one of these teams. Under `withSets`. */
async function someNamed(tx: Tx, teams: readonly string[]): Promise<boolean> {
  const named = teamsNamed((await setInForce(tx))?.policies ?? [])
  return teams.some((id) => named.has(id))
}

/** A page of those by whose suspension the last way was lost, as long as it is, and the last one's id (null at the end). */
export async function lostWays(
  sql: Sql,
  { after, limit }: { readonly after: string | null; readonly limit: number },
): Promise<{ readonly found: rows.LostWay[]; readonly last: string | null }> {
  const found = await rows.listWaysLost(sql, after, limit)
  const last = found.length < limit ? null : (found.at(-1)?.id ?? null)
  if (found.length === 0) return { found, last }
  const set = await setInForce(sql)
  // No act of anybody: the question is the same whoever looks.
  return set !== null && (await isChangeable(sql, makeCtx('findings', newId()), set)) ? { found: [], last } : { found, last }
}
