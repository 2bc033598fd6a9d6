import { append, type EvidenceEvent } from '../evidence/index.ts'
import { recordsById } from '../identity/index.ts'
import { type Ctx, RekeyError } from '../kernel/index.ts'
import { type Allowed, isMine } from '../policy/index.ts'
import type { Store, Tx } from '../store/index.ts'
import { retriedEvent } from './closure.changes.ts'
import { type ClosureView, closureById, closureResource } from './closure.list.ts'
import type { ItemState, Relation } from './closure.model.ts'
import { planAnew } from './closure.plan.ts'
import * as rows from './closure.rows.ts'
import { retryBlocked } from './closure.wait.ts'
import type { State } from './rotation.model.ts'
import { endTakenOver } from './rotation.takeover.ts'
import type { Targets } from './targets.ts'

interface Parts {
  readonly store: Store
  readonly targets: Pick<Targets, 'connectorFor'>
}

/**
 * Lets what waits for a human go on: all of a closure, or one credential. What was never touched is decided anew, so a cause that was
 * mended counts. Throws `not_found`; `wrong_state` if nothing waits, and where one that is named is somebody else's whose closures the
 * asker may not touch.
 */
export async function retryClosure(
  parts: Parts,
  ctx: Ctx,
  may: Allowed<'closure:retry'>,
  id: string,
  credential: string | null,
): Promise<void> {
  const view = await closureById(parts.store, may, id)
  await parts.store.inTx(async (tx) => {
    await rows.lockIdentity(tx, view.identityId)
    const found = await lockStuck(tx, id, credential)
    const stuck = credential === null ? found : await mineOf(tx, may, view, found)
    if (stuck.length === 0) throw nothingWaits(view)
    for (const item of stuck) await goOn(parts, tx, ctx, view, item)
    await tx.query('select pg_notify($1, $2)', [rows.CLOSURE_NUDGE, ''])
  })
}

/** Without what is of others who are not the asker's: it counts as not there. */
async function mineOf(tx: Tx, may: Allowed<'closure:retry' | 'closure:resolve'>, { closure }: ClosureView, items: readonly Stuck[]) {
  const holders = await recordsById(
    tx,
    items.flatMap(({ holder_id }) => holder_id ?? []),
  )
  return items.filter((item) => item.relation === 'own' || isMine(may, closureResource(closure, holders.get(item.holder_id ?? ''))))
}

function nothingWaits({ closure, state }: ClosureView): RekeyError {
  return new RekeyError('wrong_state', `Nothing of this closure waits for a human: it is ${state}.`, {
    hint: `See rekey closure show ${closure}.`,
  })
}

interface Stuck {
  readonly id: string
  readonly credential_id: string
  readonly credential_name: string
  readonly system_id: string
  readonly blocked_from: ItemState
  readonly rotation_id: string | null
  readonly rotation_state: State | null
  readonly relation: Relation
  /** Id of the identity whose the credential is. */
  readonly holder_id: string | null
}

async function lockStuck(tx: Tx, closure: string, credential: string | null): Promise<Stuck[]> {
  return tx.query(
    `select i.id, i.credential_id, i.credential_name, i.system_id, i.blocked_from, i.rotation_id, r.state as rotation_state,
            i.relation, c.identity_id as holder_id
       from closure_item i join credential c on c.id = i.credential_id left join rotation r on r.id = i.rotation_id
      where i.closure_id = $1 and i.state in ('blocked', 'handed_over') and ($2::text is null or i.credential_name = $2)
      order by i.id for update of i`,
    [closure, credential],
  )
}

async function goOn(parts: Parts, tx: Tx, ctx: Ctx, view: ClosureView, item: Stuck): Promise<void> {
  const state: ItemState = item.blocked_from === 'rotating' && !isLive(item.rotation_state) ? 'planned' : item.blocked_from
  const event = retriedEvent(view.closure, view.identityId, { ...item, state })
  if (state === 'planned') await planAnew(parts.targets, tx, { ...item, identity: view.identityId })
  if (state === 'rotating' && item.rotation_id !== null) await retryBlocked(tx, ctx, item.rotation_id)
  await tx.query(
    `update closure_item set state = $2, blocked_from = null, blocked_at = null, problem = null, tries = 0, looks = 0,
            nudge = nudge + 1, due_at = now(), created_at = case when $2 = 'planned' then now() else created_at end where id = $1`,
    [item.id, state],
  )
  await append(tx, ctx, [event])
}

const isLive = (state: State | null) => state !== null && state !== 'undone' && state !== 'taken_over'

/**
 * A human's word that nobody can revoke a credential that was handed over: it ends `irrevocable` and stays a finding. Of somebody else's
 * credential only who may say so of theirs says it, and not while a closure of its own is under way. Throws `not_found`, `wrong_state`.
 */
export async function giveUpItem(
  parts: Pick<Parts, 'store'>,
  ctx: Ctx,
  may: Allowed<'closure:resolve'>,
  id: string,
  word: { readonly credential: string; readonly reason: string },
): Promise<void> {
  const view = await closureById(parts.store, may, id)
  await parts.store.inTx(async (tx) => {
    await rows.lockIdentity(tx, view.identityId)
    const [item] = await lockStuck(tx, id, word.credential)
    if (item === undefined) throw nothingWaits(view)
    await refuseOfOthers(tx, may, view, item)
    const [live] = await tx.query<{ id: string }>('select id from rotation where credential_id = $1 and ended_at is null', [
      item.credential_id,
    ])
    // Nobody will end it once nothing may be rotated.
    if (live !== undefined) await endTakenOver(tx, ctx, live.id, `closure ${id}: ${word.reason}`)
    const versions = await tx.query<{ id: string }>(
      `update version set state = 'irrevocable' where credential_id = $1 and state in ('staged', 'current', 'previous') returning id`,
      [item.credential_id],
    )
    await tx.query(
      `update closure_item set state = 'irrevocable', ended_at = now(), due_at = null, nudge = nudge + 1,
              problem = jsonb_build_object('reason', $2::text) where id = $1`,
      [item.id, word.reason],
    )
    // Nothing rotates what nobody can revoke: it has no value in use any more that Rekey could replace.
    await tx.query('update credential set closed_at = coalesce(closed_at, now()) where id = $1', [item.credential_id])
    const links = { closure: id, credential: item.credential_id, system: item.system_id, identity: view.identityId }
    const ids = versions.map((version) => version.id)
    const stored = { versions: Object.fromEntries(ids.map((version) => [version, { state: 'irrevocable' }])) }
    const data = { reason: word.reason, from: item.blocked_from, versions: ids, stored }
    await append(tx, ctx, [{ log: 'credential', type: 'logins.irrevocable', subject: item.credential_name, links, data }])
    await tx.query('select pg_notify($1, $2)', [rows.CLOSURE_NUDGE, ''])
  })
}

async function refuseOfOthers(tx: Tx, may: Allowed<'closure:resolve'>, view: ClosureView, item: Stuck): Promise<void> {
  if (item.relation === 'own') return
  if ((await mineOf(tx, may, view, [item])).length === 0) throw nothingWaits(view)
  const [own] = await tx.query<{ closure: string }>(
    `select closure_id as closure from closure_item where credential_id = $1 and ended_at is null and relation = 'own'`,
    [item.credential_id],
  )
  if (own === undefined) return
  throw new RekeyError('wrong_state', `${item.credential_name} is being ended by a closure of its own.`, {
    hint: `See rekey closure show ${own.closure}.`,
  })
}

/**
 * Somebody says that the value of a credential of this closure is out: it is never given back. Throws `not_found`; `wrong_state` if the
 * credential has ended in it.
 */
export async function tellLeaked(
  parts: Pick<Parts, 'store'>,
  ctx: Ctx,
  may: Allowed<'closure:resolve'>,
  id: string,
  word: { readonly credential: string; readonly reason: string },
): Promise<void> {
  const view = await closureById(parts.store, may, id)
  await parts.store.inTx(async (tx) => {
    const found = await tx.query<{ id: string; number: number; credential_id: string }>(
      `update version v set leaked_at = now(), leaked_reason = $3 from closure_item i
        where i.closure_id = $1 and i.credential_name = $2 and i.ended_at is null and i.relation = 'own'
          and v.credential_id = i.credential_id and v.state in ('current', 'previous', 'staged') returning v.id, v.number, v.credential_id`,
      [id, word.credential, word.reason],
    )
    if (found.length === 0)
      throw new RekeyError('wrong_state', 'No value of it could be given back by this closure.', {
        hint: `See rekey closure show ${view.closure}.`,
      })
    const events = found.map(({ id: version, number, credential_id: credential }): EvidenceEvent => {
      const data = { version: number, reason: word.reason }
      return { log: 'credential', type: 'version.leaked', subject: word.credential, links: { closure: id, credential, version }, data }
    })
    await append(tx, ctx, events)
  })
}
