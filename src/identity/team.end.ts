/** Names and ends of teams by hand. */
import { type Ctx, counted, RekeyError } from '../kernel/index.ts'
import { type Allowed, type Policies, teamsNamed } from '../policy/index.ts'
import type { Sql, Tx } from '../store/index.ts'
import { rulesAsking } from './approval.rule.store.ts'
import { openRequestsTo } from './approval.store.ts'
import { lockPolicies } from './policyset.store.ts'
import type { RecordParts } from './record.actions.ts'
import { checkReason } from './record.model.ts'
import { lockRecord } from './record.store.ts'
import { rolesAround } from './role.store.ts'
import { putTeam, removeTeam } from './team.actions.ts'
import { mineNamed, noTeam } from './team.list.ts'
import { BUILT_IN, type Team } from './team.model.ts'
import { lockNesting, ownedBy, teamById } from './team.store.ts'

async function ours(sql: Sql, may: Allowed<'team:change' | 'team:remove'>, idOrName: string): Promise<Team> {
  const team = await mineNamed(sql, may, idOrName)
  if (team.source === BUILT_IN) throw new RekeyError('wrong_state', 'This team belongs to Rekey; only its members can change.')
  if (team.source !== 'api') {
    throw new RekeyError('conflict', `This team comes from ${team.source}.`, { hint: 'Change it there.' })
  }
  return team
}

/**
 * Gives a team another name (`team.changed`); its id, members, roles and what it owns stay. Throws `not_found`, also for one that is not
 * the asker's; `conflict` for a directory's team, `wrong_state` for Rekey's own, `bad_input`.
 */
export async function renameTeamByHand(
  parts: RecordParts,
  ctx: Ctx,
  may: Allowed<'team:change'>,
  idOrName: string,
  name: string,
): Promise<Team> {
  const { id } = await ours(parts.store, may, idOrName)
  await parts.store.inTx((tx) => putTeam(tx, ctx, { id, name }))
  return (await teamById(parts.store, id)) ?? noTeam(idOrName)
}

/** What else holds on to a team, in words such as `2 exceptions`; empty: nothing. In the transaction that removes it. */
export type AlsoOwned = (tx: Tx, team: string) => Promise<readonly string[]>

/**
 * Removes a team (`team.removed`) of which nothing depends: it owns nothing, approves nothing, holds no role and is named by no policy,
 * nor is a team around it. Throws `wrong_state` saying all that is in the way; else as `renameTeamByHand`.
 */
export async function removeTeamByHand(
  parts: RecordParts & { readonly policies: Policies },
  ctx: Ctx,
  may: Allowed<'team:remove'>,
  idOrName: string,
  input: { readonly reason: string; readonly alsoOwned: AlsoOwned },
): Promise<Team> {
  checkReason(input.reason)
  const team = await ours(parts.store, may, idOrName)
  await parts.store.inTx(async (tx) => {
    // The order of everybody who takes these: nobody gives it a role, an identity or a place around it meanwhile.
    await lockPolicies(tx)
    await lockRecord(tx, 'alone')
    await lockNesting(tx)
    const inTheWay = [...(await uses(tx, parts.policies, team.id)), ...(await input.alsoOwned(tx, team.id))]
    if (inTheWay.length > 0) {
      throw new RekeyError('wrong_state', `The team ${team.name} is needed: ${inTheWay.join('; ')}.`, {
        hint: 'Give that to others first: rekey team show, rekey role bindings, rekey approval rule list.',
      })
    }
    await removeTeam(tx, ctx, team.id, input.reason)
  })
  return team
}

async function uses(tx: Tx, { set }: Policies, team: string): Promise<string[]> {
  const { roles, teams } = await rolesAround(tx, team)
  const named = teamsNamed(set.policies)
  const [owned, rules, asked] = [await ownedBy(tx, team), await rulesAsking(tx, team), await openRequestsTo(tx, team)]
  return [
    ...(owned > 0 ? [`it answers for ${counted(owned, 'identity', 'identities')}`] : []),
    ...(roles.length > 0 ? [`it holds roles, or is nested in a team that does: ${roles.join(', ')}`] : []),
    ...(teams.some((id) => named.has(id)) ? ['policies name it, or a team that it is nested in'] : []),
    ...(rules.length > 0 ? [`it approves ${rules.join(', ')}`] : []),
    ...(asked > 0 ? [`${counted(asked, 'open request', 'open requests')} for approval ask it`] : []),
  ]
}
