/** What evidence keeps of a user beside the identity's own history: whose it is, and what is still to happen by the provider's word. */
import { append } from '../../evidence/index.ts'
import type { Ctx, Json } from '../../kernel/index.ts'
import type { Tx } from '../../store/index.ts'
import { addressesDigest } from '../rights.story.ts'
import * as rows from './user.store.ts'
import { textOf } from './view.ts'

type Told = Pick<rows.UserRow, 'id' | 'identity_id' | 'active' | 'suspended' | 'offboard_at' | 'deleted_at' | 'created_at' | 'resource'>
type Keys = Pick<rows.UserKeys, 'userNameKey' | 'externalId' | 'emailKeys'>

function factsOf({ id, active, suspended, offboard_at, deleted_at, created_at }: Told, keys: Keys): Record<string, Json> {
  return {
    active,
    suspended,
    offboardAt: offboard_at?.toISOString() ?? null,
    deleted: deleted_at !== null,
    // An address that is from then links a login to the person.
    createdAt: created_at.toISOString(),
    names: addressesDigest(id, [keys.userNameKey, keys.externalId ?? '']),
  }
}

/** Whether there is something to tell. */
export function standsOtherwise(before: Told, was: Keys, after: Told, keys: Keys): boolean {
  const text = (user: Told, of: Keys) => JSON.stringify([user.identity_id, factsOf(user, of), [...of.emailKeys].sort()])
  return text(before, was) !== text(after, keys)
}

/** Tells how a user stands from now on (`scim_user.stands`), in the transaction that makes it so. */
export async function tellUser(tx: Tx, ctx: Ctx, provider: string, user: Told, keys: Keys): Promise<void> {
  const links = { identity: user.identity_id, scim_provider: provider, scim_user: user.id }
  const subject = textOf(user.resource, 'userName') ?? user.id
  const emails = (await rows.emailsOf(tx, user.id)).map(({ address, since }) => `${address} ${since.toISOString()}`)
  // People are told apart by them; the log has a digest only.
  const data = { ...factsOf(user, keys), addresses: addressesDigest(user.id, emails) }
  await append(tx, ctx, [{ log: 'identity', type: 'scim_user.stands', subject, links, data }])
}

/** Takes a user's row away (`scim_user.dropped`). */
export async function forgetUser(tx: Tx, ctx: Ctx, user: Told): Promise<void> {
  await rows.dropUser(tx, user.id)
  const links = { identity: user.identity_id, scim_user: user.id }
  const subject = textOf(user.resource, 'userName') ?? user.id
  await append(tx, ctx, [{ log: 'identity', type: 'scim_user.dropped', subject, links }])
}
