import { append } from '../evidence/index.ts'
import { type Ctx, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine, type Policies, type Principal } from '../policy/index.ts'
import type { Store } from '../store/index.ts'
import { refuseOneself } from './behind.ts'
import * as rows from './person.store.ts'
import { lockPolicies } from './policyset.store.ts'
import { identityNamed } from './record.list.ts'
import { checkReason, type IdentityRecord } from './record.model.ts'
import { lockRecord } from './record.store.ts'
import { type Force, keepApart, tellForced } from './role.hands.ts'

/** What is said, or seems, of another identity. */
export interface SamePerson {
  readonly id: string
  readonly name: string
  readonly status: string
  /** Whether it counts as the same human. */
  readonly same: boolean
  /** `said`: by somebody. `address`: both have it. */
  readonly because: 'said' | 'address'
}

/** Other identities that count as the same human as this one, and those of which somebody said that they do not. Throws `not_found`. */
export async function readSamePerson(store: Store, may: Allowed<'identity:read'>, idOrName: string): Promise<SamePerson[]> {
  const of = await visible(store, may, idOrName)
  return (await rows.othersOf(store, of.id)).map(({ same, address: _address, ...rest }) => ({
    ...rest,
    same: same ?? true,
    because: same === null ? 'address' : 'said',
  }))
}

/**
 * Says that two identities are of one human (`identity.same_person`), or that they are not although they share an address
 * (`identity.other_person`). The last word counts, from the next count of an approval on. Resolves with whether anything changed. Throws
 * `not_found`; `bad_input` for one identity twice and for what is no person; `forbidden` for whoever speaks of themselves, also by a
 * token or program of theirs; `wrong_state` if the one human would hold both hands, by more than a directory's word, and it is not forced
 * with a reason (event `role.forced`).
 */
export async function sayPerson(
  store: Store,
  ctx: Ctx,
  may: Allowed<'identity:move'>,
  by: Principal,
  policies: Policies,
  input: { readonly one: string; readonly other: string; readonly same: boolean } & Force,
): Promise<boolean> {
  const { same, reason } = input
  checkReason(reason)
  const [one, other] = [await visible(store, may, input.one), await visible(store, may, input.other)]
  if (one.id === other.id) throw new RekeyError('bad_input', 'These are one identity.')
  if (one.kind !== 'human' || other.kind !== 'human') throw new RekeyError('bad_input', 'Only identities of people are of a person.')
  return store.inTx(async (tx) => {
    await lockPolicies(tx)
    await lockRecord(tx, 'alone')
    const hint = 'Ask somebody else who may do identity:move, not by a token or program of yours.'
    await refuseOneself(tx, by, [one.id, other.id], 'Nobody says this of themselves.', hint)
    const pair = { one: one.id, other: other.id, same, at: ctx.clock.now(), by: ctx.actor, reason }
    const { made: said, people } = await keepApart(tx, ctx, policies.set, input, () => rows.putPair(tx, pair), 'by hand')
    if (!said) return false
    const type = same ? 'identity.same_person' : 'identity.other_person'
    const links = { identity: one.id, other: other.id }
    await append(tx, ctx, [{ log: 'identity', type, subject: one.name, links, data: { other: other.name, reason } }])
    if (people.length > 0) await tellForced(tx, ctx, { subject: one.name, links, to: 'identity', reason }, people)
    return true
  })
}

async function visible(store: Store, may: Allowed<'identity:read' | 'identity:move'>, idOrName: string): Promise<IdentityRecord> {
  const found = await identityNamed(store, idOrName)
  const { id, kind, environment, ownerId } = found
  if (isMine(may, { type: 'identity', id, kind, environment, owner: ownerId ?? undefined })) return found
  throw new RekeyError('not_found', `No such identity: ${idOrName}`, { hint: 'See rekey identity list.' })
}
