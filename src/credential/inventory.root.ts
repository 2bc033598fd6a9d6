import type { Probe, Target } from '../connectors/contract.ts'
import { append, type EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, RekeyError, type Secret } from '../kernel/index.ts'
import type { Allowed } from '../policy/index.ts'
import { fingerprint, open } from '../seal/index.ts'
import type { Tx } from '../store/index.ts'
import { declareNext } from './inventory.declare.ts'
import { planRootRecheck } from './inventory.root.recheck.ts'
import * as rows from './inventory.root.store.ts'
import { faultOfSecret } from './inventory.secrets.ts'
import { systemForWork } from './inventory.system.ts'
import { requireSystem } from './resources.ts'
import type { RotationParts } from './rotation.run.ts'
import type { Work } from './rotation.store.ts'
import { meet } from './server.contact.ts'
import { dataKeyBound, versionBound } from './targets.ts'
import { NUDGE } from './worker.channel.ts'

/** What a change of a root secret needs of the process. */
export type RootParts = Pick<RotationParts, 'store' | 'keyring' | 'targets' | 'fingerprintKey' | 'shredAfterSeconds' | 'loginWindowMs'>

/** What became of a root secret that was told. */
export interface RootSet {
  /** The number of the version in use now. */
  readonly version: number
  /** False: it was the stored value already, and the system accepts it. */
  readonly changed: boolean
  /**
   * How the value before ended: `dead` if it was seen to work, is refused now, by every account of that login name, and has no session
   * open; else `unprovable`; null if nothing changed.
   */
  readonly old: 'dead' | 'unprovable' | null
  /** Other accounts at which the value before still lets that login name in. */
  readonly stillAt: readonly string[]
}

/** A tried value that nobody decided on, since the process died, is destroyed after so long. */
const TRIED_SECONDS = 600

type Probed = Probe & { readonly at: string }

/**
 * Takes over a root secret that somebody changed on the system by hand. The value is stored, encrypted, before it is tried; it becomes
 * the one in use only if the system accepts it and refuses the one before. Otherwise it is destroyed and nothing else changes.
 *
 * Throws `not_found`; `bad_input` for a value that is too long or not text on one line; `wrong_state` for a decommissioned system;
 * `conflict` while the root credential is rotated, or if the stored value is still accepted; `target_not_authorised` if the system
 * refuses the value, `target_unreachable` or `target_conflict` if it does not say.
 */
export async function setRoot(
  parts: RootParts,
  ctx: Ctx,
  may: Allowed<'system:set-root'>,
  system: string,
  value: Secret,
): Promise<RootSet> {
  requireSystem(may, system)
  const fault = faultOfSecret(value)
  if (fault !== null) throw new RekeyError('bad_input', `The root secret ${fault}.`)
  const tried = await store(parts, ctx, system, value)
  try {
    return tried.same ? await confirm(parts, ctx, tried, value) : await decide(parts, ctx, tried, value)
  } catch (error) {
    if (!tried.same) await drop(parts, ctx, tried, error)
    throw error
  }
}

interface Tried {
  readonly system: string
  readonly root: rows.LockedRoot
  /** It is the stored value: nothing was stored again. */
  readonly same: boolean
  readonly id: string
  readonly number: number
}

async function store(parts: RootParts, ctx: Ctx, system: string, value: Secret): Promise<Tried> {
  return parts.store.inTx(async (tx) => {
    const root = await free(tx, system)
    if (root.current_id !== null && root.current_fingerprint === fingerprint(parts.fingerprintKey, value)) {
      return { system, root, same: true, id: root.current_id, number: root.current_number ?? 0 }
    }
    const number = root.last_number + 1
    const next = { name: root.name, credential: root.id, number, account: root.account, value }
    const { version } = await declareNext(parts, ctx, tx, root, next)
    await rows.insertTried(tx, version, TRIED_SECONDS)
    const data = { version: number, account: root.account, fingerprint: version.fingerprint }
    await append(tx, ctx, [eventOf(root, 'root.tried', { version: version.id }, data)])
    return { system, root, same: false, id: version.id, number }
  })
}

async function free(tx: Tx, system: string): Promise<rows.LockedRoot> {
  const root = await rows.lockRoot(tx, system)
  if (root.decommissioned) throw new RekeyError('wrong_state', `The system ${system} is decommissioned.`)
  if (root.rotating) {
    throw new RekeyError('conflict', `The root credential of ${system} is being rotated.`, {
      hint: `See rekey rotation list --credential ${root.name}; undo or resolve that rotation first.`,
    })
  }
  return root
}

function eventOf(
  root: rows.LockedRoot,
  type: string,
  links: Record<string, string>,
  data: NonNullable<EvidenceEvent['data']>,
): EvidenceEvent {
  return { log: 'credential', type, subject: root.name, links: { credential: root.id, ...links }, data }
}

async function probe(ctx: Ctx, target: Target, account: string, value: Secret): Promise<Probed> {
  const at = ctx.clock.now().toISOString()
  return { ...(await target.probe(ctx, account, value)), at }
}

/** The stored value was told again: it is only tried. */
async function confirm(parts: RootParts, ctx: Ctx, { system, root, number }: Tried, value: Secret): Promise<RootSet> {
  const { system: where, root: known } = await systemForWork(parts.store, system)
  refuseUnaccepted(await probe(ctx, await parts.targets.of(parts.store, where, known), root.account, value))
  return { version: number, changed: false, old: null, stillAt: [] }
}

function refuseUnaccepted({ outcome, code }: Probe): void {
  if (outcome === 'accepted') return
  const answer = `The root login with this value is ${outcome} (${code}); nothing was changed.`
  if (outcome === 'refused') throw new RekeyError('target_not_authorised', answer, { hint: 'Check the value and the root account.' })
  throw new RekeyError(outcome === 'unreachable' ? 'target_unreachable' : 'target_conflict', answer, {
    hint: 'Look at the system and try again.',
  })
}

async function decide(parts: RootParts, ctx: Ctx, tried: Tried, value: Secret): Promise<RootSet> {
  const { system, root } = await systemForWork(parts.store, tried.system)
  const sealed = await rows.sealedOf(parts.store, tried.id)
  if (sealed === null) throw lost(tried)
  const others = root.versions.filter(({ id }) => id !== tried.id)
  // Others go on with the stored value first, until it is known that this one is right.
  const first = await parts.targets.of(parts.store, system, { ...root, versions: [...others, { id: tried.id, sealed }] })
  const before = await valueBefore(parts, root, tried)
  const [control, old] = await Promise.all([
    probe(ctx, first, system.rootAccount, value),
    before === null ? null : probe(ctx, first, system.rootAccount, before),
  ])
  refuseUnaccepted(control)
  if (old?.outcome === 'accepted') {
    throw new RekeyError('conflict', 'The stored root value is still accepted, so it was not replaced.', {
      hint: 'Take it away on the system first, or let Rekey change it: rekey system rotate-root.',
    })
  }
  const now = { ...root, versions: [{ id: tried.id, sealed }, ...others] }
  if (system.server === null) await meet(parts, ctx, { system, root: now })
  const target = await parts.targets.of(parts.store, system, now)
  if (before === null || old?.outcome !== 'refused') return finish(parts, ctx, tried, { control, old, left: null, stillAt: [], mark: null })
  // The probe meets one account; by the same name the value may let in at another, as the root of the whole system.
  const stillAt = (await target.sameLogins?.(ctx, system.rootAccount, before)) ?? []
  const order = { strategy: 'in-place', account: system.rootAccount, old: null, keep: value } as const
  const window = windowOf(parts, system)
  // In place there is nothing to take away: it is asked for its mark.
  const mark = window === 0 ? null : { at: (await target.retire(ctx, order)).mark, system: system.id, ms: window }
  const left = await sessionsLeft(ctx, target, system.rootAccount)
  return finish(parts, ctx, tried, { control, old, left, stillAt, mark })
}

/** How long a login that began with the value before may still come in, milliseconds. */
function windowOf(parts: RootParts, { connector }: Work['system']): number {
  const { loginWindowMs } = parts.targets.connectorFor(connector).describe()
  return loginWindowMs === 0 ? 0 : (parts.loginWindowMs ?? loginWindowMs)
}

async function valueBefore(parts: RootParts, root: Work['root'], { root: { current_id } }: Tried): Promise<Secret | null> {
  const current = root.versions.find(({ id }) => id === current_id)
  if (current === undefined) return null
  const key = await parts.keyring.unwrap(parts.store, root.kekId, root.wrappedKey, dataKeyBound(root.credentialId))
  return open(key, current.sealed, versionBound(root.credentialId, current.id))
}

/** Sessions of the root account that are not Rekey's own, any of which may be of the value before; null if the system does not say. */
async function sessionsLeft(ctx: Ctx, target: Target, account: string): Promise<number | null> {
  try {
    return (await target.sessions(ctx, account)).length
  } catch (error) {
    if (error instanceof RekeyError && error.code.startsWith('target_')) return null
    throw error
  }
}

interface Seen {
  readonly control: Probed
  readonly old: Probed | null
  readonly left: number | null
  readonly stillAt: readonly string[]
  /** Where a login takes time. */
  readonly mark: { readonly at: string; readonly system: string; readonly ms: number } | null
}

/** State and evidence in one transaction, if nothing else happened to the root credential meanwhile. */
async function finish(parts: RootParts, ctx: Ctx, tried: Tried, { control, old, left, stillAt, mark }: Seen): Promise<RootSet> {
  const provedDeadAt = left === 0 && stillAt.length === 0 && tried.root.current_worked ? ctx.clock.now() : null
  const state = provedDeadAt === null ? 'unprovable' : 'dead'
  await parts.store.inTx(async (tx) => {
    const root = await free(tx, tried.system)
    if (root.current_id !== tried.root.current_id || root.account !== tried.root.account || root.where !== tried.root.where)
      throw lost(tried)
    const { current_id: id, current_number: oldVersion, where } = root
    const probe = old && { ...old, where }
    const end: rows.OldEnd | null = id === null ? null : { id, state, probe, provedDeadAt, shredSeconds: parts.shredAfterSeconds }
    if (!(await rows.acceptTried(tx, tried.id, { ...control, where }, end))) throw lost(tried)
    const links: Record<string, string> = id === null ? { to: tried.id } : { from: id, to: tried.id }
    const data = {
      oldVersion,
      newVersion: tried.number,
      old: old && { ...old },
      control: { ...control },
      oldState: id === null ? null : state,
      oldWorked: root.current_worked,
      sessionsLeft: left,
      ...(stillAt.length > 0 && { stillAt: [...stillAt] }),
    }
    await append(tx, ctx, [eventOf(root, 'root.set', links, { ...data, provedDeadAt: provedDeadAt?.toISOString() ?? null })])
    if (provedDeadAt !== null && id !== null && mark !== null) {
      await planRootRecheck(tx, { version: id, system: mark.system, mark: mark.at }, mark.ms)
    }
    await tx.query('select pg_notify($1, $2)', [NUDGE, ''])
  })
  return { version: tried.number, changed: true, old: tried.root.current_id === null ? null : state, stillAt }
}

const lost = ({ system }: Tried) =>
  new RekeyError('conflict', `The root credential of ${system} changed meanwhile.`, { hint: 'Try again.' })

/** Destroys a value that was not taken. If even that fails, the worker does it when its time has come. */
async function drop(parts: RootParts, ctx: Ctx, { root, id, number }: Tried, error: unknown): Promise<void> {
  const code = error instanceof RekeyError ? error.code : 'internal'
  const dropped = parts.store.inTx(async (tx) => {
    if (!(await rows.voidTried(tx, id))) return
    await append(tx, ctx, [
      eventOf(root, 'root.refused', { version: id }, { version: number, code }),
      eventOf(root, 'version.shredded', { version: id }, { version: number }),
    ])
  })
  await dropped.catch(() => ctx.log.warn({ version: id }, 'a root value that was not taken is destroyed later'))
}
