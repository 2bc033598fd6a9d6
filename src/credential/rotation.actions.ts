import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, type Json, newId, RekeyError, sleep } from '../kernel/index.ts'
import { type Allowed, isMine } from '../policy/index.ts'
import type { Store, Tx } from '../store/index.ts'
import { rotationDigests } from './record.ts'
import { noSystem, resourcesOf } from './resources.ts'
import { endedOf, hasEnded } from './rotation.ended.ts'
import * as rows from './rotation.list.ts'
import { accountAfter, ENDS, NEXT, type State, UNDOABLE } from './rotation.model.ts'
import { NUDGE } from './worker.channel.ts'

interface Parts {
  readonly store: Store
}

/** How a rotation is started. */
export interface StartOptions {
  readonly reason: string
  /** True: the grace period is skipped, since the old value is known to be out. */
  readonly urgent: boolean
  /** Only the root credentials of systems; only then are they rotated. */
  readonly root?: boolean
}

/** A selected credential for which nothing was started: a rotation of it is under way already, or blocked. */
export interface Skipped {
  readonly credential: string
  /** The rotation that it has. */
  readonly rotation: string
  readonly state: State
  /** What holds that rotation up, if anything does. */
  readonly reason: string | null
}

/** What was started: one rotation for each credential, under one batch. What was selected is in `rotations` or in `skipped`. */
export interface Started {
  readonly batch: string
  readonly rotations: readonly { readonly rotation: string; readonly credential: string }[]
  readonly skipped: readonly Skipped[]
}

/**
 * Starts one rotation for each selected credential, all or none. Of a system or of all, a credential that has a live rotation is left
 * out and named in `skipped`, also if that leaves none to start. Throws `not_found` for an unknown name, `wrong_state` for one that
 * has ended,
 * `conflict` if one that was
 * meant by itself (by name, or a root credential) has a live rotation already, `bad_input` for an empty selection.
 */
export async function startRotations(
  parts: Parts,
  ctx: Ctx,
  may: Allowed<'rotation:start'>,
  what: rows.Selection,
  options: StartOptions,
): Promise<Started> {
  if ('names' in what && what.names.length === 0)
    throw new RekeyError('bad_input', 'No credential is named.', { hint: 'Name credentials, or say --system or --all.' })
  const root = options.root === true
  return parts.store.inTx(async (tx) => {
    const all = await touchable(tx, may, what, await rows.selectForRotation(tx, what, root), root)
    await refuseMissing(tx, may, what, { found: all, root })
    if (root && 'system' in what && all.length === 0) throw await rootless(tx, what.system)
    const found = 'names' in what ? all : all.filter(({ closed }) => !closed)
    refuseClosed(found)
    const live = found.filter((row) => row.live !== null)
    // By name, each one was meant. Of a system or of all the rest need not wait, but what is left out may be blocked: it is named.
    const meant = 'names' in what || root
    if (live.length > 0 && meant) {
      throw new RekeyError(
        'conflict',
        `A rotation is under way for ${live
          .slice(0, 5)
          .map((row) => row.name)
          .join(', ')}.`,
        {
          hint: `Look at it: rekey rotation show ${live[0]?.live}`,
        },
      )
    }
    const free = found.filter((row) => row.live === null)
    return { ...(await planRotations(tx, ctx, free, options)), skipped: live.flatMap(skippedOf) }
  })
}

/**
 * Those that may be rotated. By name, the others count as not there, and so does a system of which none may be. Of a system of which some
 * may be, or of all, one that may not be touched refuses the whole: whoever asks for all of them must not believe that all are on their
 * way.
 */
async function touchable(
  tx: Tx,
  may: Allowed<'rotation:start'>,
  what: rows.Selection,
  found: readonly rows.Startable[],
  root: boolean,
): Promise<readonly rows.Startable[]> {
  const resources = await resourcesOf(tx, found)
  const mine = found.filter((_, index) => isMine(may, resources[index]))
  if ('names' in what || ('system' in what && mine.length === 0 && !root)) return mine
  for (const resource of resources) may.check(resource)
  return found
}

/** A suspended credential would come back to life by a new value. Of a system or of all, those are passed over. */
function refuseClosed(found: readonly Pick<rows.Startable, 'name' | 'closed'>[]): void {
  const shut = found.find(({ closed }) => closed)
  if (shut === undefined) return
  throw new RekeyError('conflict', `The logins of ${shut.name} are stopped, because its identity is suspended or left.`, {
    hint: 'See rekey closure list.',
  })
}

function skippedOf({ name, live, live_state: state, live_reason: reason }: rows.Startable): Skipped[] {
  return live === null || state === null ? [] : [{ credential: name, rotation: live, state, reason }]
}

/** How the names of root credentials begin; they are not rotated by name. */
const ROOT = 'root@'

async function refuseMissing(
  tx: Tx,
  may: Allowed<'rotation:start'>,
  what: rows.Selection,
  { found, root }: { readonly found: readonly rows.Startable[]; readonly root: boolean },
): Promise<void> {
  if ('names' in what) {
    const unfound = what.names.filter((name) => !found.some((row) => row.name === name))
    if (unfound.length === 0) return
    const ended = root ? [] : await endedOf(tx, may, unfound)
    const missing = unfound.filter((name) => !ended.some((row) => row.name === name))
    if (ended[0] !== undefined && missing.length === 0) throw await hasEnded(tx, ended[0])
    const first = missing.find((name) => name.startsWith(ROOT))
    const ofRoot = `For a root credential: rekey system rotate-root ${first?.slice(ROOT.length)}`
    const hint = first === undefined ? 'See rekey credential list.' : ofRoot
    throw new RekeyError('not_found', `No such credential: ${missing.slice(0, 10).join(', ')}.`, { hint })
  }
  if (found.length > 0) return
  if (!('system' in what)) throw new RekeyError('not_found', 'The inventory has no credential.')
  if (root) return
  throw new RekeyError('not_found', `No credential on a system named ${what.system}.`, {
    hint: 'See rekey credential list, rekey system list.',
  })
}

/** Why the root credential of a system cannot be rotated. Whoever asks may rotate it, so a system that is there is no secret. */
async function rootless(tx: Tx, system: string): Promise<RekeyError> {
  const found = await rows.findSystem(tx, system)
  if (found === null) return noSystem(system)
  if (found.decommissioned) return new RekeyError('wrong_state', `${system} was given up: nothing on it is rotated any more.`)
  const hint = `Tell it: rekey system set-root ${system}`
  return new RekeyError('wrong_state', `The root credential of ${system} has no value in use.`, { hint })
}

/** The credential, locked, as a rotation of it would be planned; empty if it has no value in use or is shut. */
export async function startableOf(tx: Tx, credentialId: string): Promise<readonly rows.Startable[]> {
  return (await rows.selectById(tx, credentialId)).filter(({ closed, live }) => !closed && live === null)
}

/** Plans a rotation for each of the locked credentials, under one batch, with its evidence. */
export async function planRotations(
  tx: Tx,
  ctx: Ctx,
  found: readonly rows.Startable[],
  options: StartOptions,
): Promise<Omit<Started, 'skipped'>> {
  const batch = newId(ctx.clock.now().getTime())
  if (found.length === 0) return { batch, rotations: [] }
  const planned = found.map((row) => ({
    id: newId(ctx.clock.now().getTime()),
    credential: row.id,
    system: row.system_id,
    old: row.current_id,
    old_account: row.current_account,
    new_account: accountAfter(row.strategy, row.accounts, row.current_account),
    grace: options.urgent ? 0 : row.grace_seconds,
    name: row.name,
  }))
  await rows.insertRotations(tx, batch, options.reason, ctx.actor, planned)
  const by = ctx.actorName === null ? null : `${ctx.actorName} (${ctx.actor})`
  await append(
    tx,
    ctx,
    planned.map(
      (row): EvidenceEvent => ({
        log: 'credential',
        type: 'rotation.planned',
        subject: row.name,
        links: { credential: row.credential, rotation: row.id, system: row.system, from: row.old },
        // The name goes into the event: a page of this log alone has no other that tells it.
        data: { reason: options.reason, urgent: options.urgent, batch, ...(by === null ? {} : { by }) },
      }),
    ),
  )
  await tx.query('select pg_notify($1, $2)', [NUDGE, ''])
  return { batch, rotations: planned.map((row) => ({ rotation: row.id, credential: row.name })) }
}

/** Starts what its schedule says is due. A credential with a live rotation waits for its end. */
export async function startDue(parts: Parts, ctx: Ctx): Promise<number> {
  return parts.store.inTx(async (tx) => {
    const found = await rows.selectDue(tx, 200)
    if (found.length > 0) await planRotations(tx, ctx, found, { reason: 'schedule', urgent: false })
    return found.length
  })
}

/** Lets a blocked rotation try again from where it stopped. Throws `wrong_state` if it is not blocked. */
export async function retryRotation(parts: Parts, ctx: Ctx, may: Allowed<'rotation:retry'>, id: string): Promise<void> {
  await change(parts, ctx, may, id, async (tx, row) => {
    if (row.state !== 'blocked' || row.blocked_from === null) throw wrongState(row.state, 'only a blocked rotation can be tried again')
    await rows.setState(tx, id, row.blocked_from, { dueNow: true })
    return { type: 'rotation.retried', data: { from: row.blocked_from } }
  })
}

/** Takes a rotation back while the old value is not yet retired. Throws `wrong_state` after that. */
export async function undoRotation(parts: Parts, ctx: Ctx, may: Allowed<'rotation:undo'>, id: string, reason: string): Promise<void> {
  await change(parts, ctx, may, id, async (tx, row) => {
    const at = row.state === 'blocked' ? (row.blocked_from ?? 'blocked') : row.state
    if (ENDS.includes(row.state)) throw wrongState(row.state, 'it has ended')
    if (row.state === 'undoing') throw wrongState(row.state, 'it is tried until it is done or blocked')
    // A blocked undo is asked for again: the same as to retry it.
    if (!UNDOABLE.includes(at) && at !== 'undoing') throw wrongState(row.state, 'the old value is being retired or is gone')
    const untouched = at === 'planned'
    if (!untouched && !row.can_undo) {
      throw new RekeyError('wrong_state', 'The old value is not known, so it cannot be put back.', {
        hint: `Let it go on: rekey rotation retry ${id}`,
      })
    }
    const to: State = untouched ? 'undone' : 'undoing'
    if (row.state !== 'blocked' && !NEXT[row.state].includes(to)) throw wrongState(row.state, 'it cannot be undone')
    await rows.setState(tx, id, to, { dueNow: !untouched, ended: untouched })
    if (untouched) await rows.reschedule(tx, row.credential_id)
    return {
      type: untouched ? 'rotation.undone' : 'rotation.undo_requested',
      data: { from: row.state, reason, ...(untouched ? { stored: await storedEnd(tx, id) } : {}) },
    }
  })
}

/** A human's word about a rotation, with name and reason. */
export type Resolution =
  | { readonly kind: 'override-activation'; readonly by: string; readonly reason: string }
  | { readonly kind: 'irrevocable'; readonly by: string; readonly reason: string }

/**
 * A human's word where Rekey cannot know: consumers that cannot be seen are taken as activated, or an old value that nobody can
 * revoke is given up as `irrevocable`. Name and reason go into evidence. Throws `wrong_state` where the word would not fit.
 */
export async function resolveRotation(
  parts: Parts,
  ctx: Ctx,
  may: Allowed<'rotation:resolve'>,
  id: string,
  resolution: Resolution,
): Promise<void> {
  if (resolution.by.trim() === '' || resolution.reason.trim() === '') {
    throw new RekeyError('bad_input', 'A resolution needs a name and a reason.', { hint: 'Give --by NAME and --reason TEXT.' })
  }
  await change(parts, ctx, may, id, async (tx, row) => {
    const at = row.state === 'blocked' ? row.blocked_from : row.state
    let stored: Record<string, Json> | null = null
    if (resolution.kind === 'override-activation') {
      if (at !== 'distributed') throw wrongState(row.state, 'it does not wait for consumers')
      await rows.setState(tx, id, 'distributed', { dueNow: true, override: { by: resolution.by, reason: resolution.reason } })
    } else {
      if (row.state !== 'blocked' || (at !== 'retired' && at !== 'retiring'))
        throw wrongState(row.state, 'only a rotation blocked after its retirement began can end so')
      await rows.setState(tx, id, 'irrevocable', { dueNow: false, ended: true })
      stored = { ...(await storedEnd(tx, id)), versions: { [await rows.markIrrevocable(tx, id)]: { state: 'irrevocable' } } }
      await rows.reschedule(tx, row.credential_id)
    }
    return {
      type: 'override.recorded',
      data: { kind: resolution.kind, by: resolution.by, reason: resolution.reason, from: row.state, ...(stored && { stored }) },
    }
  })
}

/** The row of a rotation that ended by a human's word, as its event tells it. */
async function storedEnd(tx: Tx, id: string): Promise<Record<string, Json>> {
  return { rotation: (await rotationDigests(tx, [id])).get(id) ?? null, recheck: false }
}

function wrongState(state: State, why: string): RekeyError {
  return new RekeyError('wrong_state', `The rotation is ${state}: ${why}.`, { hint: 'See rekey rotation show ID.' })
}

async function isTouchable(tx: Tx, may: Allowed, { credential_id: id, system, identity_id }: rows.Held): Promise<boolean> {
  const [resource] = await resourcesOf(tx, [{ id, system, identity_id }])
  return isMine(may, resource)
}

/** How long a request waits for a worker to finish the step it is in. */
const PATIENCE_MS = 15_000

/** Changes a rotation that no worker holds at this moment; a held one is waited for. The epoch moves on: a silent worker writes nothing. */
async function change(
  parts: Parts,
  ctx: Ctx,
  may: Allowed,
  id: string,
  act: (tx: Tx, row: rows.Held) => Promise<Pick<EvidenceEvent, 'type' | 'data'>>,
): Promise<void> {
  const until = ctx.clock.monotonicMs() + PATIENCE_MS
  for (;;) {
    const done = await parts.store.inTx(async (tx) => {
      const row = await rows.lockRotation(tx, id)
      if (row === null || !(await isTouchable(tx, may, row))) throw new RekeyError('not_found', `No such rotation: ${id}`)
      if (row.held) return false
      if (await rows.isClosed(tx, row.credential_id)) refuseClosed([{ name: row.credential_name, closed: true }])
      const event = await act(tx, row)
      const links = { credential: row.credential_id, rotation: id, system: row.system_id }
      await append(tx, ctx, [{ log: 'credential', subject: row.credential_name, links, ...event }])
      await tx.query('select pg_notify($1, $2)', [NUDGE, ''])
      return true
    })
    if (done) return
    if (ctx.clock.monotonicMs() > until || ctx.signal.aborted)
      throw new RekeyError('conflict', 'A worker is busy with this rotation.', { hint: 'Try again in a moment.' })
    await sleep(100, ctx.signal)
  }
}
