import { OTHER_SERVER, otherServer, type Probe, type Target } from '../connectors/contract.ts'
import type { EvidenceEvent } from '../evidence/index.ts'
import { type Ctx, type Json, LIMITS, RekeyError, type Secret } from '../kernel/index.ts'
import type { Keyring } from '../keys/index.ts'
import { open } from '../seal/index.ts'
import type { Batcher, Store } from '../store/index.ts'
import { rotationDigest, storedVersions } from './record.ts'
import { ENDS, isPath, STRATEGIES, type State, type StrategyPlan } from './rotation.model.ts'
import type { Commit, KeptProbe, Progress, VersionChange, Work, WorkVersion } from './rotation.store.ts'
import { meet } from './server.contact.ts'
import { dataKeyBound, type Targets, versionBound } from './targets.ts'

/** A commit with the evidence that belongs to it. */
export interface Move {
  readonly commit: Commit
  readonly events: readonly EvidenceEvent[]
  readonly ctx: Ctx
}

/** What the steps of a rotation need; made once per process. */
export interface RotationParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly targets: Targets
  readonly fingerprintKey: Secret
  /** Joins the moves of many rotations into one transaction; resolves with the staged version's number, or null if the move was refused. */
  readonly moves: Batcher<Move, { readonly version: number | null } | null>
  /** How long after its proof of death a version's ciphertext is kept. */
  readonly shredAfterSeconds: number
  /** Files and folders of Rekey itself, which no consumer's file may be or be in; absolute. */
  readonly keepOut?: readonly string[]
  /** Instead of the connectors' own login windows, milliseconds; tests make it short. */
  readonly loginWindowMs?: number
  /** In [0, 1); spreads retries. */
  readonly jitter: () => number
  /** Called inside the steps where a crash would hurt most; only fault tests give one. */
  readonly trap?: (where: string, rotation: string) => void | Promise<void>
}

/**
 * What a step says when it is done: go on at once, come back after a pause, or stop here for good.
 * A step that cannot do its work throws; the worker decides between another try and `blocked`.
 */
export type StepResult = 'go' | { readonly waitMs: number } | 'end'

/** Thrown when somebody else changed the rotation meanwhile: this run stops and writes nothing more. */
export class LostClaim extends Error {}

/** Old and new probed together, and when (monotonic). */
export interface Pair {
  readonly old: Probe & { readonly at: Date }
  readonly control: Probe & { readonly at: Date }
  readonly atMs: number
}

/**
 * One claimed rotation on its way: what it holds in memory, what it has done since the last commit, and the commit itself.
 * Moves collect until something must be durable (before a target is touched, before waiting, at the end) and are then written in
 * one transaction with their evidence.
 */
export class Run {
  readonly parts: RotationParts
  readonly ctx: Ctx
  readonly work: Work
  readonly plan: StrategyPlan
  /** True while the claim found an open attempt: the last process died, or its call was never answered. */
  resumed: boolean
  /** The pair probed right after an in-place install, reused as proof if it is still the same moment. */
  pair: Pair | null = null
  /** When the attempt began of which an earlier, interrupted in-place install is left: the old value may be dead since then. */
  interruptedAt: Date | null = null
  /** When the consumers' files were in place in this run (monotonic), if that was before the verification. */
  placedMs: number | null = null
  /** When the install was called in this run (monotonic), for the gap. */
  installedMs: number | null = null
  /** True when this run has seen that no other system has its accounts. */
  clashRefused = false
  /** True when this run itself ended the old sessions and saw none left. */
  retiredHere = false
  /** True when the account had the new value then, by the system's own word: a pair probed before that still counts. */
  holdsNew = false
  readonly #startedMs: number
  #from: State
  #events: EvidenceEvent[] = []
  readonly #versions = new Map<string, VersionChange>()
  #stage: Commit['stage'] = null
  #reschedule = false
  readonly #secrets = new Map<string, Secret>()

  #opened: { readonly target: Target; readonly dataKey: Secret } | null = null

  constructor(parts: RotationParts, ctx: Ctx, work: Work) {
    this.parts = parts
    this.ctx = ctx
    this.work = work
    this.plan = STRATEGIES[work.credential.strategy]
    this.resumed = work.progress.attempt_step !== null
    this.#from = work.progress.state
    this.#startedMs = ctx.clock.monotonicMs()
  }

  /** Opens the data key and the way to the system, before the first step. What it throws can be recorded like a fault of a step. */
  async open(): Promise<void> {
    const { parts, work } = this
    const { id, kekId, wrappedKey } = work.credential
    const dataKey = await parts.keyring.unwrap(parts.store, kekId, wrappedKey, dataKeyBound(id))
    // At the first contact of all `stage` meets it, which goes on without an answer.
    if (work.system.server === null && work.progress.state !== 'planned') await meet(parts, this.ctx, work)
    this.#opened = { dataKey, target: await parts.targets.of(parts.store, work.system, work.root) }
  }

  get target(): Target {
    return this.#way().target
  }

  get dataKey(): Secret {
    return this.#way().dataKey
  }

  #way(): { readonly target: Target; readonly dataKey: Secret } {
    if (this.#opened === null) throw new RekeyError('internal', `Rotation ${this.work.id} was not opened.`)
    return this.#opened
  }

  get progress(): Progress {
    return this.work.progress
  }

  get state(): State {
    return this.work.progress.state
  }

  /**
   * The database's time. Every process that works on a rotation reads and writes it, so waiting (grace, patience with consumers) is
   * measured by one clock, and a jump of this machine's wall clock moves nothing.
   */
  now(): Date {
    return new Date(this.work.loadedAt.getTime() + this.ctx.clock.monotonicMs() - this.#startedMs)
  }

  /**
   * Only for a rotation of the system's own root credential: tells the target both root values and makes it log in anew. Before
   * the install the old one comes first, afterwards the new one, so that a connection can be made at every moment.
   */
  async renewRoot(first: 'old' | 'new'): Promise<void> {
    const { work } = this
    if (!work.credential.isRoot || work.fresh?.sealed == null) return
    const fresh = { id: work.fresh.id, sealed: work.fresh.sealed }
    const others = work.root.versions.filter((version) => version.id !== fresh.id)
    await this.parts.targets.renew(this.parts.store, work.system, {
      ...work.root,
      versions: first === 'new' ? [fresh, ...others] : [...others, fresh],
    })
  }

  /** The value of a version, or null if it is unknown or shredded. */
  valueOf(version: WorkVersion): Secret | null {
    if (version.sealed === null) return null
    const known = this.#secrets.get(version.id)
    if (known) return known
    const secret = open(this.dataKey, version.sealed, versionBound(this.work.credential.id, version.id))
    this.#secrets.set(version.id, secret)
    return secret
  }

  /** The staged version and its value. There is one from `staged` on. */
  fresh(): { readonly version: WorkVersion; readonly secret: Secret } {
    const version = this.work.fresh
    const secret = version === null ? null : this.valueOf(version)
    if (version === null || secret === null) throw new RekeyError('internal', `Rotation ${this.work.id} has no staged value.`)
    return { version, secret }
  }

  /** Throws `unavailable` when too little of the claim is left to make another call safely. */
  checkClaim(): void {
    if (this.ctx.clock.monotonicMs() - this.#startedMs > LIMITS.leaseMs / 2) {
      throw new RekeyError('unavailable', 'The step took too long; it goes on with a fresh claim.')
    }
    if (this.ctx.signal.aborted) throw new LostClaim('stopping')
  }

  /** Records a move with its evidence; nothing is written before `commit`. */
  move(to: State, data: { readonly [key: string]: Json } = {}): void {
    if (!isPath(this.state, [to])) throw new RekeyError('internal', `No rotation goes from ${this.state} to ${to}.`)
    this.progress.state = to
    this.note(`rotation.${to}`, data)
  }

  note(type: string, data: { readonly [key: string]: Json } = {}): void {
    const { work } = this
    const links: Record<string, string> = { credential: work.credential.id, rotation: work.id, system: work.system.id, from: work.old.id }
    if (work.fresh) links.to = work.fresh.id
    this.#events.push({ log: 'credential', type, at: this.now(), subject: work.credential.name, links, data })
  }

  /** A probe is kept with the place at which it was made: that of this run, whatever the system's row says meanwhile. */
  change(change: VersionChange): void {
    const probe = change.last_probe
    const bound = probe === undefined ? {} : { last_probe: { ...probe, where: this.work.system.place } }
    this.#versions.set(change.id, { ...this.#versions.get(change.id), ...change, ...bound })
  }

  stage(stage: Commit['stage']): void {
    this.#stage = stage
  }

  rescheduleAtEnd(): void {
    this.#reschedule = true
  }

  /**
   * Writes what has collected. `dueMs`: 0 to go on in this claim, a pause to be claimed again after it, null for an end.
   * Throws `LostClaim` if the rotation is no longer this run's.
   */
  async commit(next: { readonly goOn: true } | { readonly dueMs: number | null }): Promise<number | null> {
    const goOn = 'goOn' in next
    const ended = ENDS.includes(this.state)
    if (ended) this.progress.ended_at ??= this.now()
    const commit: Commit = {
      id: this.work.id,
      epoch: this.work.epoch,
      credentialId: this.work.credential.id,
      from: this.#from,
      progress: this.progress,
      stage: this.#stage,
      versions: [...this.#versions.values()],
      dueMs: goOn ? 0 : next.dueMs,
      keepLease: goOn,
      reschedule: this.#reschedule,
    }
    const result = await this.parts.moves.submit({ commit, events: this.#told(commit, ended), ctx: this.ctx })
    if (result === null) throw new LostClaim(this.work.id)
    this.#from = this.state
    this.#events = []
    this.#versions.clear()
    this.#stage = null
    return result.version
  }

  /** The events of a commit; the last one tells what is stored with it, so that `rekey fsck` can compare the rows. */
  #told({ stage, versions }: Commit, ended: boolean): EvidenceEvent[] {
    const last = this.#events.at(-1)
    if (last === undefined) return []
    const stored: Record<string, Json> = {}
    const rows = storedVersions(stage, versions)
    if (rows !== null) stored.versions = rows
    if (ended) {
      stored.rotation = rotationDigest(this.#record())
      stored.recheck = this.progress.recheck_at !== null
    }
    return Object.keys(stored).length === 0 ? this.#events : this.#events.with(-1, { ...last, data: { ...last.data, stored } })
  }

  #record(): Parameters<typeof rotationDigest>[0] {
    const { work } = this
    return {
      ...this.progress,
      credential_id: work.credential.id,
      system_id: work.system.id,
      batch_id: work.batch,
      reason: work.reason,
      old_version_id: work.old.id,
      old_account: work.oldAccount,
      new_account: work.newAccount,
      grace_seconds: work.graceSeconds,
    }
  }

  /** A login as a consumer makes it. Throws `target_conflict` if another server than the one on record let it in. */
  async probe(account: string, secret: Secret): Promise<Probe> {
    const probe = await this.target.probe(this.ctx, account, secret)
    if (probe.code === OTHER_SERVER) throw otherServer(this.work.system.name, 'it let a login in')
    return probe
  }

  async trap(where: string): Promise<void> {
    await this.parts.trap?.(where, this.work.id)
  }
}

/** Probes both versions at the same moment. A version whose value is unknown counts as inconclusive. */
export async function probePair(run: Run): Promise<Pair> {
  const old = run.valueOf(run.work.old)
  const { version, secret } = run.fresh()
  const at = run.now()
  const atMs = run.ctx.clock.monotonicMs()
  const [oldProbe, control] = await Promise.all([
    old === null ? { outcome: 'inconclusive' as const, code: 'value_unknown' } : run.probe(run.work.old.account, old),
    run.probe(version.account, secret),
  ])
  return { old: { ...oldProbe, at }, control: { ...control, at }, atMs }
}

/** When a value that serves nothing any more since `from` is destroyed. */
export function laterShred(run: Run, from = run.now()): Date {
  return new Date(from.getTime() + run.parts.shredAfterSeconds * 1000)
}

/** A probe as the version's row keeps it: when it was last tried, and what was seen. */
export function lastProbe(probe: Probe & { readonly at: Date }): KeptProbe {
  return { outcome: probe.outcome, code: probe.code, at: probe.at.toISOString() }
}

/** Records what a probe of a version says as a fact; an answer that says nothing of the value leaves the last fact on record. */
export function noteFact(run: Run, version: WorkVersion, probe: Probe & { readonly at: Date }): void {
  if (probe.outcome === 'accepted' || probe.outcome === 'refused') run.change({ id: version.id, last_probe: lastProbe(probe) })
}

/** A probe as evidence tells it. */
export function probeData(probe: Probe & { readonly at?: Date }): { outcome: string; code: string; at?: string } {
  return { outcome: probe.outcome, code: probe.code, ...(probe.at ? { at: probe.at.toISOString() } : {}) }
}
