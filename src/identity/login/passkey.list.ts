import { append } from '../../evidence/index.ts'
import { type Ctx, isId, pageOfSeenById, RekeyError } from '../../kernel/index.ts'
import { type Allowed, type Principal, type Resource, StepUpRequired } from '../../policy/index.ts'
import type { Sql } from '../../store/index.ts'
import { lockPolicies } from '../policyset.store.ts'
import { endSessionsBy } from '../session.ts'
import { requireStrength } from './enrol.ts'
import type { LoginParts } from './model.ts'
import * as rows from './passkey.store.ts'
import { forgetTries } from './throttle.ts'
import { keepWaysIn } from './way-in.ts'

/** A passkey as it is listed. */
export interface Passkey {
  readonly id: string
  readonly identity: string
  readonly person: string
  readonly name: string
  readonly deviceBound: boolean
  readonly backedUp: boolean
  readonly attestation: string
  readonly aaguid: string
  readonly createdAt: Date
  readonly lastUsedAt: Date | null
}

function resourceOf(id: string, owner: string): Resource {
  return { type: 'passkey', id, owner }
}

/** Passkeys, oldest first, without those that the asker may not see; `next` is the cursor of what follows. */
export async function readPasskeys(
  sql: Sql,
  _ctx: Ctx,
  may: Allowed<'passkey:read'>,
  filter: { readonly identity?: string | undefined; readonly after?: string | undefined; readonly limit: number },
): Promise<{ readonly items: Passkey[]; readonly next: string | null }> {
  const { items, next } = await pageOfSeenById(filter, {
    read: (after, count) => rows.listPasskeys(sql, filter.identity ?? null, after, count),
    mine: (found) => found.filter((row) => may.can(resourceOf(row.id, row.identity_id))),
  })
  return { items: items.map(viewOf), next }
}

function viewOf({
  id,
  identity_id,
  person,
  name,
  device_bound,
  backed_up,
  attestation,
  aaguid,
  created_at,
  last_used_at,
}: rows.ListedPasskey): Passkey {
  const made = { attestation, aaguid, createdAt: created_at, lastUsedAt: last_used_at }
  return { id, identity: identity_id, person, name, deviceBound: device_bound, backedUp: backed_up, ...made }
}

/**
 * Removes a passkey and ends the sessions that began with it (`passkey.removed`). Throws `not_found`, in the same words for one that the
 * asker may not remove; `step_up_required` for one's own unless the login would do to enrol one, and for a person below AAL2;
 * `wrong_state` if nobody would be left who could let others in (`keepWaysIn`).
 */
export async function removePasskey(
  { store, policies }: LoginParts,
  ctx: Ctx,
  may: Allowed<'passkey:remove'>,
  by: Principal,
  id: string,
  reason: string,
): Promise<void> {
  const passkey = isId(id) ? await rows.passkeyById(store, id) : null
  if (passkey === null || !may.can(resourceOf(id, passkey.identity_id))) throw noPasskey()
  // Else a weak login could take the strong passkey away, and then enrol another by what is left.
  if (by.id === passkey.identity_id) requireStrength(ctx, by, await rows.passkeysOf(store, by.id))
  else if (by.kind === 'person' && by.aal < 2) throw new StepUpRequired({ aal: 2, maxAgeSeconds: null })
  await store.inTx(async (tx) => {
    await lockPolicies(tx)
    const ended = await keepWaysIn(tx, ctx, policies, async () => {
      const sessions = await endSessionsBy(tx, ctx, 'passkey_id', id, 'passkey removed')
      if (!(await rows.deletePasskey(tx, id))) throw noPasskey()
      return sessions
    })
    await forgetTries(tx, id)
    const links = { identity: passkey.identity_id, passkey: id }
    const data = { passkey: passkey.name, sessions: ended, reason }
    await append(tx, ctx, [{ log: 'identity', type: 'passkey.removed', subject: passkey.person, links, data }])
  })
}

function noPasskey(): RekeyError {
  return new RekeyError('not_found', 'There is no such passkey.')
}
