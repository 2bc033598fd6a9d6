/** What an item waits for: a rotation of its credential, which it may take over, and a system that was away. */
import type { Target } from '../connectors/contract.ts'
import { append } from '../evidence/index.ts'
import type { Ctx } from '../kernel/index.ts'
import type { Tx } from '../store/index.ts'
import { isOutage, LOGINS_STOPPED, lookPauseMs, nextItem, ROTATION_BLOCKED } from './closure.model.ts'
import { beforeRotation, endReplaced, waitForOwner } from './closure.others.ts'
import { planAnew } from './closure.plan.ts'
import { finish, handOver, type ItemResult, type ItemRun } from './closure.run.ts'
import { planRotations, startableOf } from './rotation.actions.ts'
import { dropFilesOf } from './rotation.distribute.ts'
import { lockRotation, setState } from './rotation.list.ts'
import { LostClaim } from './rotation.run.ts'
import { parkRotation, unparkRotation } from './rotation.takeover.ts'
import { NUDGE } from './worker.channel.ts'

/** How long a suspension waits for a rotation that is under way to end by itself. */
export const LIVE_PATIENCE_MS = 15_000
/** How often it looks meanwhile. */
export const LOOK_AGAIN_MS = 250
/** So long after its answer one login of root says for every item of a system whether that answers. */
const SAME_LOOK_MS = 1_000

/** The rotation is planned in the transaction that says so: urgent, since whoever leaves knows the value. */
export async function rotate(run: ItemRun): Promise<ItemResult> {
  const { work } = run
  const held = work.relation === 'own' ? null : await beforeRotation(run)
  if (held !== null) return held
  if (work.live?.state === 'blocked') {
    const hint = `End that rotation (rekey rotation show ${work.live.id}); then it goes on by itself.`
    return handOver(run, {
      reason: `Its rotation ${work.live.id} is blocked, and others use the credential.`,
      hint,
      code: ROTATION_BLOCKED,
    })
  }
  if (work.credential.closed) return reopen(run)
  if (work.live !== null) {
    run.progress.problem = { reason: `waits for the end of rotation ${work.live.id}` }
    return { waitMs: LOOK_AGAIN_MS }
  }
  if (!work.versions.some(({ state }) => state === 'current')) {
    return handOver(run, { reason: 'No value of it is in use, so there is none to replace.' })
  }
  run.progress.problem = null
  await run.trap('before_rotate')
  run.move('rotating', { why: work.why })
  await run.commit({ dueMs: null }, async (tx) => {
    const started = await planRotations(tx, run.ctx, await startableOf(tx, work.credential.id), {
      reason: `offboarding: ${work.why}`,
      urgent: true,
    })
    const [rotation] = started.rotations
    // Somebody else started one at this very moment: nothing is written, and the item waits for that one.
    if (rotation === undefined) throw new LostClaim(work.id)
    run.progress.rotation_id = rotation.rotation
  })
  return 'end'
}

export async function followRotation(run: ItemRun): Promise<ItemResult> {
  const { rotation, progress } = run.work
  const state = rotation?.state ?? 'undone'
  const links: Record<string, string> = progress.rotation_id === null ? {} : { rotation: progress.rotation_id }
  if (state === 'proven_dead') {
    settleProblem(run)
    run.move('rotated', { why: run.work.why }, links)
    return finish(run)
  }
  const reason = rotation?.problem?.reason
  if (state === 'not_provable' || state === 'irrevocable') {
    // From a human's hands only the human's own word leads to an end that proves nothing.
    if (!nextItem(run.work.relation)[progress.state].includes(state)) return { waitMs: null }
    run.move(state, { reason: reason ?? state }, links)
    return finish(run)
  }
  // The wait for a human goes on until the human has brought the rotation to an end.
  if (progress.state === 'handed_over') return { waitMs: null }
  if (state === 'taken_over' && run.work.credential.closed && run.work.relation !== 'own') return waitForOwner(run)
  if (state === 'undone' || state === 'taken_over') {
    await run.stop('blocked', { reason: 'Its rotation was undone: the old value is in use.', hint: 'Rotate it again: rekey closure retry' })
    return { waitMs: null }
  }
  if (state !== 'blocked') return { waitMs: null }
  const { hint, code } = { hint: 'Look at the rotation, then run: rekey closure retry', ...rotation?.problem }
  return handOver(run, { reason: `Its rotation is blocked: ${reason ?? 'unknown'}`, hint, ...(code === undefined ? {} : { code }) })
}

/**
 * What is with a human: a rotation that ended meanwhile ends it. Where the system was away, Rekey looks by itself whether it answers
 * again, and goes on from where it stopped.
 */
export async function lookAgain(run: ItemRun): Promise<ItemResult> {
  const { progress, work } = run
  const ended = await endReplaced(run)
  if (ended !== null) return ended
  if (progress.blocked_from === 'rotating') {
    const followed = await followRotation(run)
    if (followed === 'end') return followed
  }
  const { code } = progress.problem ?? {}
  if (!isOutage(code) && code !== ROTATION_BLOCKED && code !== LOGINS_STOPPED) return { waitMs: null }
  if (code === LOGINS_STOPPED && work.credential.closed) return { waitMs: null }
  if (code === ROTATION_BLOCKED && work.live?.state === 'blocked') return { waitMs: null }
  await run.trap('before_look')
  const answered = await isBack(run)
  progress.looks++
  if (!answered) return { waitMs: lookPauseMs(progress.looks, run.parts.jitter()) }
  const from = progress.blocked_from
  run.goOn()
  await run.commit({ dueMs: 0 }, async (tx) => {
    if (from === 'planned')
      await planAnew(run.parts.targets, tx, { id: work.id, identity: work.closure.identity, credential_id: work.credential.id })
    if (from === 'rotating' && progress.rotation_id !== null) await retryBlocked(tx, run.ctx, progress.rotation_id)
  })
  return 'end'
}

function settleProblem(run: ItemRun): void {
  run.progress.problem = null
  run.progress.blocked_at = null
}

/** Somebody else uses it since it was stopped: what it was stopped for goes on. */
async function reopen(run: ItemRun): Promise<ItemResult> {
  run.shut(false)
  await run.commit({ dueMs: 0 }, unparkLive(run))
  return 'end'
}

/** Lets a rotation that was parked for this item go on, in the commit that gives the logins back. */
export function unparkLive({ work: { live }, ctx }: ItemRun): ((tx: Tx) => Promise<void>) | null {
  return live === null ? null : (tx) => unparkRotation(tx, ctx, live.id)
}

/**
 * Before an account is touched no rotation may go on with it: its next step could install a value after the look that says which are
 * accepted. One that works gets some time to end by itself. Null: none is in the way.
 */
export async function holdRotation(run: ItemRun, patienceMs: number): Promise<ItemResult | null> {
  const { work, progress, parts, ctx } = run
  const { live } = work
  if (live === null) return null
  if (live.parked) {
    // What lay ready beside a consumer's file holds a value in the clear.
    await dropFilesOf(parts, work.consumers).catch(() => undefined)
    return null
  }
  progress.problem = { reason: `waits for the end of rotation ${live.id}` }
  if (live.state !== 'blocked' && run.now().getTime() - work.createdAt.getTime() < patienceMs) return { waitMs: LOOK_AGAIN_MS }
  await run.trap('before_park')
  if (!(await parts.store.inTx((tx) => parkRotation(tx, ctx, live.id)))) return { waitMs: LOOK_AGAIN_MS }
  await run.trap('after_park')
  // What it staged since this was loaded must be seen.
  await run.commit({ dueMs: 0 })
  return 'end'
}

/** By system: the look that is under way, or the last one. */
const looks = new WeakMap<Target, { readonly answer: Promise<boolean>; overMs: number | null }>()

/** Whether root is let in. Many items of one system are due at once after an outage: one login answers for all of them. */
function isBack(run: ItemRun): Promise<boolean> {
  const { clock } = run.ctx
  const known = looks.get(run.target)
  if (known !== undefined && (known.overMs === null || clock.monotonicMs() - known.overMs < SAME_LOOK_MS)) return known.answer
  const answer = run
    .tryControl()
    .then(({ outcome }) => outcome === 'accepted')
    .finally(() => {
      look.overMs = clock.monotonicMs()
    })
  const look = { answer, overMs: null as number | null }
  looks.set(run.target, look)
  return answer
}

/** Lets a rotation that is blocked go on from where it stopped. */
export async function retryBlocked(tx: Tx, ctx: Ctx, id: string): Promise<void> {
  const row = await lockRotation(tx, id)
  if (row === null || row.state !== 'blocked' || row.blocked_from === null) return
  await setState(tx, id, row.blocked_from, { dueNow: true })
  const links = { credential: row.credential_id, rotation: id, system: row.system_id }
  await append(tx, ctx, [
    { log: 'credential', type: 'rotation.retried', subject: row.credential_name, links, data: { from: row.blocked_from } },
  ])
  await tx.query('select pg_notify($1, $2)', [NUDGE, ''])
}
